import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import com.sun.net.httpserver.HttpsConfigurator;
import com.sun.net.httpserver.HttpsServer;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyFactory;
import java.security.Principal;
import java.security.PrivateKey;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.Base64;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executors;
import javax.net.ssl.KeyManager;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.X509ExtendedKeyManager;

/** Serves the certificate of a file, and reads it again on a POST, as frameworks do. */
public class Server {
    record Pair(X509Certificate certificate, PrivateKey key) {
        static Pair read() throws Exception {
            String pem = Files.readString(Path.of("/run/secrets/server.pem"));
            String begin = "-----BEGIN PRIVATE KEY-----";
            String end = "-----END PRIVATE KEY-----";
            String key = pem.substring(pem.indexOf(begin) + begin.length(), pem.indexOf(end));
            byte[] der = Base64.getMimeDecoder().decode(key);
            return new Pair(
                (X509Certificate) CertificateFactory.getInstance("X.509")
                    .generateCertificate(new ByteArrayInputStream(pem.getBytes())),
                KeyFactory.getInstance("EC").generatePrivate(new PKCS8EncodedKeySpec(der)));
        }
    }

    /** Gives each pair a name of its own, so that no handshake mixes two. */
    static class Keys extends X509ExtendedKeyManager {
        private final Map<String, Pair> pairs = new ConcurrentHashMap<>();
        private volatile String current;

        void use(Pair pair) {
            String alias = "server-" + pairs.size();
            pairs.put(alias, pair);
            current = alias;
        }

        public String chooseEngineServerAlias(String type, Principal[] issuers, SSLEngine engine) {
            return type.startsWith("EC") ? current : null;
        }

        public String chooseServerAlias(String type, Principal[] issuers, Socket socket) {
            return type.startsWith("EC") ? current : null;
        }

        public X509Certificate[] getCertificateChain(String alias) {
            return new X509Certificate[] {pairs.get(alias).certificate()};
        }

        public PrivateKey getPrivateKey(String alias) {
            return pairs.get(alias).key();
        }

        public String[] getServerAliases(String type, Principal[] issuers) {
            return new String[] {current};
        }

        public String[] getClientAliases(String type, Principal[] issuers) {
            return null;
        }

        public String chooseClientAlias(String[] types, Principal[] issuers, Socket socket) {
            return null;
        }
    }

    static void answer(HttpExchange exchange, int status) throws IOException {
        byte[] body = "ok".getBytes();
        exchange.sendResponseHeaders(status, body.length);
        exchange.getResponseBody().write(body);
        exchange.close();
    }

    public static void main(String[] words) throws Exception {
        Keys keys = new Keys();
        keys.use(Pair.read());
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(new KeyManager[] {keys}, null, null);
        HttpsServer server = HttpsServer.create(new InetSocketAddress(8443), 100);
        server.setExecutor(Executors.newFixedThreadPool(8));
        server.setHttpsConfigurator(new HttpsConfigurator(context));
        server.createContext("/", exchange -> answer(exchange, 200));
        server.start();
        HttpServer control = HttpServer.create(new InetSocketAddress("127.0.0.1", 8081), 0);
        control.createContext("/reload", exchange -> {
            int status = 200;
            try {
                keys.use(Pair.read());
            } catch (Exception refused) {
                status = 500;
            }
            answer(exchange, status);
        });
        control.start();
    }
}
