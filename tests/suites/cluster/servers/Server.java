import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import com.sun.net.httpserver.HttpsConfigurator;
import com.sun.net.httpserver.HttpsServer;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyFactory;
import java.security.KeyStore;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.Base64;
import java.util.concurrent.Executors;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;

public class Server {
    static SSLContext context() throws Exception {
        String pem = Files.readString(Path.of("/run/secrets/server.pem"));
        String begin = "-----BEGIN PRIVATE KEY-----";
        String end = "-----END PRIVATE KEY-----";
        String key = pem.substring(pem.indexOf(begin) + begin.length(), pem.indexOf(end));
        byte[] der = Base64.getMimeDecoder().decode(key);
        Certificate certificate = CertificateFactory.getInstance("X.509")
            .generateCertificate(new ByteArrayInputStream(pem.getBytes()));
        KeyStore store = KeyStore.getInstance("PKCS12");
        store.load(null, null);
        store.setKeyEntry("server",
            KeyFactory.getInstance("EC").generatePrivate(new PKCS8EncodedKeySpec(der)),
            new char[0], new Certificate[] {certificate});
        KeyManagerFactory keys = KeyManagerFactory.getInstance("SunX509");
        keys.init(store, new char[0]);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(keys.getKeyManagers(), null, null);
        return context;
    }

    static void answer(HttpExchange exchange, int status) throws IOException {
        byte[] body = "ok".getBytes();
        exchange.sendResponseHeaders(status, body.length);
        exchange.getResponseBody().write(body);
        exchange.close();
    }

    public static void main(String[] words) throws Exception {
        HttpsServer server = HttpsServer.create(new InetSocketAddress(8443), 100);
        server.setExecutor(Executors.newFixedThreadPool(8));
        server.setHttpsConfigurator(new HttpsConfigurator(context()));
        server.createContext("/", exchange -> answer(exchange, 200));
        server.start();
        HttpServer control = HttpServer.create(new InetSocketAddress("127.0.0.1", 8081), 0);
        control.createContext("/reload", exchange -> {
            int status = 200;
            try {
                server.setHttpsConfigurator(new HttpsConfigurator(context()));
            } catch (Exception refused) {
                status = 500;
            }
            answer(exchange, status);
        });
        control.start();
    }
}
