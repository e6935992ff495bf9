import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;

/** Ten heartbeats from Java 16 or later, without a library: {@code java Beat.java orders}. */
public final class Beat {
    public static void main(String[] arguments) throws IOException, InterruptedException {
        String service = arguments.length > 0 ? arguments[0] : System.getenv("LIFESIGN_SERVICE");
        String place = System.getenv().getOrDefault("LIFESIGN_LOCAL", "/run/lifesign");
        try (SocketChannel heart = SocketChannel.open(StandardProtocolFamily.UNIX)) {
            heart.connect(UnixDomainSocketAddress.of(Path.of(place, "stream")));
            heart.configureBlocking(false); // a heartbeat must never hold up the program
            for (int done = 1; done <= 10; done++) {
                String line = service + " alive progress=" + done + " queue=12.5 message=hello from Java\n";
                heart.write(ByteBuffer.wrap(line.getBytes(StandardCharsets.UTF_8)));
                Thread.sleep(20);
            }
        }
    }
}
