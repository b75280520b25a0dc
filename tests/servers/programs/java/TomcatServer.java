import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.nio.file.Files;
import java.util.logging.Level;
import java.util.logging.LogManager;
import java.util.logging.Logger;
import org.apache.catalina.connector.Connector;
import org.apache.catalina.servlets.DefaultServlet;
import org.apache.catalina.startup.Tomcat;
import org.apache.catalina.util.ServerInfo;

/**
 * Tomcat with its file servlet and with a mapped servlet, as it comes and with encoded
 * slashes and backslashes allowed. Arguments: the folder with the files.
 */
public final class TomcatServer {
    public static final class Guarded extends HttpServlet {
        @Override
        protected void doGet(HttpServletRequest request, HttpServletResponse response) throws IOException {
            response.getWriter().println(System.getenv("SECRET"));
        }
    }

    private static Connector connector(Tomcat tomcat) {
        var connector = new Connector();
        connector.setPort(0);
        connector.setProperty("address", "127.0.0.1");
        connector.setProperty("maxThreads", "4");
        tomcat.getService().addConnector(connector);
        return connector;
    }

    private static void serve(String name, String root, boolean files) throws Exception {
        var tomcat = new Tomcat();
        tomcat.setBaseDir(Files.createTempDirectory("tomcat").toString());
        var plain = connector(tomcat);
        var lenient = connector(tomcat);
        lenient.setEncodedSolidusHandling("decode");
        lenient.setAllowBackslash(true);
        var context = tomcat.addContext("", root);
        if (files) {
            Tomcat.addServlet(context, "default", new DefaultServlet());
            context.addServletMappingDecoded("/", "default");
            context.addWelcomeFile("index.html");
        } else {
            Tomcat.addServlet(context, "guarded", new Guarded());
            context.addServletMappingDecoded("/admin/*", "guarded");
            context.addServletMappingDecoded("/api/admin/*", "guarded");
        }
        tomcat.start();
        say(name, plain);
        say(name + ", encoded slashes decoded", lenient);
    }

    private static void say(String name, Connector connector) {
        System.out.println("listening|" + name + "|127.0.0.1:" + connector.getLocalPort() + "|" + ServerInfo.getServerNumber());
    }

    public static void main(String[] arguments) throws Exception {
        LogManager.getLogManager().reset();
        Logger.getLogger("").setLevel(Level.OFF);
        serve("Tomcat files", arguments[0], true);
        serve("Tomcat servlet", arguments[0], false);
        System.out.println("ready");
        Thread.currentThread().join();
    }
}
