import java.io.IOException;
import javax.servlet.http.HttpServlet;
import javax.servlet.http.HttpServletRequest;
import javax.servlet.http.HttpServletResponse;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import org.eclipse.jetty.servlet.DefaultServlet;
import org.eclipse.jetty.servlet.ServletContextHandler;
import org.eclipse.jetty.servlet.ServletHolder;

/** Jetty with its file servlet and with a mapped servlet. Arguments: the folder with the files. */
public final class JettyServer {
    public static final class Guarded extends HttpServlet {
        @Override
        protected void doGet(HttpServletRequest request, HttpServletResponse response) throws IOException {
            response.getWriter().println(System.getenv("SECRET"));
        }
    }

    private static void serve(String name, ServletContextHandler context) throws Exception {
        var server = new Server();
        var connector = new ServerConnector(server, 1, 1);
        connector.setHost("127.0.0.1");
        connector.setPort(0);
        server.addConnector(connector);
        server.setHandler(context);
        server.start();
        System.out.println("listening|" + name + "|127.0.0.1:" + connector.getLocalPort() + "|" + Server.getVersion());
    }

    public static void main(String[] arguments) throws Exception {
        System.setProperty("org.eclipse.jetty.LEVEL", "OFF");
        var files = new ServletContextHandler();
        files.setContextPath("/");
        files.setResourceBase(arguments[0]);
        files.addServlet(new ServletHolder("default", DefaultServlet.class), "/");
        files.setWelcomeFiles(new String[] {"index.html"});
        serve("Jetty files", files);

        var routes = new ServletContextHandler();
        routes.setContextPath("/");
        routes.addServlet(Guarded.class, "/admin/*");
        routes.addServlet(Guarded.class, "/api/admin/*");
        serve("Jetty servlet", routes);
        System.out.println("ready");
    }
}
