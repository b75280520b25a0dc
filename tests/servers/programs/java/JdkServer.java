import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.Executors;

/** The JDK's own server in three ways. Arguments: the folder with the files. */
public final class JdkServer {
    private static final String SECRET = System.getenv("SECRET");

    interface Handler {
        String answer(String path) throws IOException;
    }

    private static HttpServer serve(String name) throws IOException {
        var server = HttpServer.create(new InetSocketAddress(InetAddress.getByName("127.0.0.1"), 0), 0);
        server.setExecutor(Executors.newFixedThreadPool(4));
        System.out.println("listening|" + name + "|127.0.0.1:" + server.getAddress().getPort() + "|" + Runtime.version());
        return server;
    }

    private static void handle(HttpServer server, String context, Handler handler) {
        server.createContext(context, exchange -> {
            try {
                var answer = handler.answer(exchange.getRequestURI().getPath());
                send(exchange, answer == null ? 404 : 200, answer == null ? "none" : answer);
            } catch (RuntimeException | IOException refused) {
                send(exchange, 400, "refused");
            }
        });
    }

    private static void send(HttpExchange exchange, int status, String text) throws IOException {
        var bytes = text.getBytes(StandardCharsets.UTF_8);
        exchange.sendResponseHeaders(status, bytes.length);
        try (var body = exchange.getResponseBody()) {
            body.write(bytes);
        }
    }

    public static void main(String[] arguments) throws IOException {
        var contexts = serve("JDK httpserver contexts");
        handle(contexts, "/", path -> "public");
        handle(contexts, "/admin", path -> SECRET);
        handle(contexts, "/api/admin/", path -> SECRET);
        contexts.start();

        var root = Path.of(arguments[0]);
        var files = serve("JDK httpserver files");
        handle(files, "/", path -> {
            var file = root.resolve(path.substring(1)).normalize();
            if (Files.isDirectory(file)) {
                file = file.resolve("index.html");
            }
            return file.startsWith(root) && Files.isRegularFile(file) ? Files.readString(file) : null;
        });
        files.start();

        var folded = serve("JDK httpserver, prefix in any case");
        handle(folded, "/", path -> path.regionMatches(true, 0, "/admin", 0, 6)
                || path.regionMatches(true, 0, "/api/admin", 0, 10) ? SECRET : "public");
        folded.start();
        System.out.println("ready");
    }
}
