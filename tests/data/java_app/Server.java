// A server on port 8000 that reads a resource of the class library per view.
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.security.MessageDigest;
import java.text.NumberFormat;
import java.time.ZoneId;
import java.util.HexFormat;
import java.util.Locale;
import javax.net.ssl.SSLContext;

public class Server {
    interface View {
        String answer() throws Exception;
    }

    static void serve(HttpServer server, String path, View view) {
        server.createContext(path, (HttpExchange exchange) -> {
            try {
                byte[] body = view.answer().getBytes("UTF-8");
                exchange.sendResponseHeaders(200, body.length);
                exchange.getResponseBody().write(body);
            } catch (Exception error) {
                exchange.sendResponseHeaders(500, -1);
            } finally {
                exchange.close();
            }
        });
    }

    public static void main(String[] arguments) throws IOException {
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", 8000), 0);
        serve(server, "/", () -> "hello\n");
        serve(server, "/zone", () -> ZoneId.of("Europe/Berlin").getRules().toString());
        serve(server, "/number", () -> NumberFormat.getInstance(Locale.GERMANY).format(1234.5));
        serve(server, "/digest", () -> HexFormat.of().formatHex(
                MessageDigest.getInstance("SHA-256").digest(new byte[3])));
        serve(server, "/tls", () -> SSLContext.getDefault().getProtocol());
        server.start();
    }
}
