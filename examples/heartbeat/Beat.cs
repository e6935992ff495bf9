// Ten heartbeats from C# (.NET 8 or later), without a library: on Windows by the named pipe, elsewhere by the socket.
//     dotnet run Beat.cs orders
using System.IO.Pipes;
using System.Net.Sockets;
using System.Text;

var service = args.Length > 0 ? args[0] : Environment.GetEnvironmentVariable("LIFESIGN_SERVICE");
var place = Environment.GetEnvironmentVariable("LIFESIGN_LOCAL");
Stream heart;
if (OperatingSystem.IsWindows())
{
    // Writing alone: the right to make an instance of the pipe is lifesign's.
    var pipe = new NamedPipeClientStream(".", place ?? "lifesign", PipeAccessRights.WriteData | PipeAccessRights.Synchronize,
        PipeOptions.Asynchronous, System.Security.Principal.TokenImpersonationLevel.Identification, HandleInheritability.None);
    pipe.Connect(1000);
    heart = pipe;
}
else
{
    var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
    socket.Connect(new UnixDomainSocketEndPoint(Path.Combine(place ?? "/run/lifesign", "stream")));
    heart = new NetworkStream(socket, ownsSocket: true);
}
using (heart)
{
    for (var done = 1; done <= 10; done++)
    {
        var line = $"{service} alive progress={done} queue=12.5 message=hello from C#\n";
        heart.Write(Encoding.UTF8.GetBytes(line));
        Thread.Sleep(20);
    }
}
