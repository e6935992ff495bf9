// Ten heartbeats from C#, without a library: on Windows by the named pipe, elsewhere by the socket.
//     dotnet run Beat.cs orders                       (.NET 10; older ones: in a project)
//     mcs Beat.cs -r:System.Core && mono Beat.exe orders
using System;
using System.IO;
using System.IO.Pipes;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Security.Principal;
using System.Text;
using System.Threading;

static class Beat
{
    static void Main(string[] args)
    {
        var service = args.Length > 0 ? args[0] : Environment.GetEnvironmentVariable("LIFESIGN_SERVICE");
        var place = Environment.GetEnvironmentVariable("LIFESIGN_LOCAL");
        var isWindows = RuntimeInformation.IsOSPlatform(OSPlatform.Windows);
        using (var heart = isWindows ? Pipe(place ?? "lifesign") : Unix(place ?? "/run/lifesign"))
        {
            for (var done = 1; done <= 10; done++)
            {
                var line = $"{service} alive progress={done} queue=12.5 message=hello from C#\n";
                var bytes = Encoding.UTF8.GetBytes(line);
                heart.Write(bytes, 0, bytes.Length);
                Thread.Sleep(20);
            }
        }
    }

    static Stream Pipe(string name)
    {
        // Writing alone: the right to make an instance of the pipe is lifesign's.
        var pipe = new NamedPipeClientStream(".", name, PipeAccessRights.WriteData | PipeAccessRights.Synchronize,
            PipeOptions.Asynchronous, TokenImpersonationLevel.Identification, HandleInheritability.None);
        pipe.Connect(1000);
        return pipe;
    }

    static Stream Unix(string folder)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        socket.Connect(new UnixDomainSocketEndPoint(Path.Combine(folder, "stream")));
        return new NetworkStream(socket, true);
    }
}
