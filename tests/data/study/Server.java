// A server for the study: GET / is its training, each other view a feature of its own.
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.*;
import java.net.*;
import java.nio.charset.Charset;
import java.nio.file.*;
import java.security.*;
import java.security.cert.CertificateFactory;
import java.text.*;
import java.time.*;
import java.time.format.*;
import java.util.*;
import java.util.concurrent.*;
import java.util.prefs.Preferences;
import java.util.regex.Pattern;
import java.util.stream.*;
import java.util.zip.*;
import javax.crypto.Cipher;
import javax.crypto.SecretKeyFactory;
import javax.crypto.spec.*;
import javax.net.ssl.*;

public class Server {
    interface View {
        Object answer() throws Exception;
    }

    static void serve(HttpServer server, String path, View view) {
        server.createContext(path, (HttpExchange exchange) -> {
            String said;
            int status = 200;
            try {
                byte[] sent = exchange.getRequestBody().readAllBytes();
                said = sent.length > 0 ? hex("SHA-256", sent) : String.valueOf(view.answer());
            } catch (Throwable error) {
                status = 500;
                said = error.getClass().getName();
            }
            byte[] body = said.getBytes("UTF-8");
            exchange.sendResponseHeaders(status, body.length);
            exchange.getResponseBody().write(body);
            exchange.close();
        });
    }

    static String hex(String algorithm, byte[] data) throws Exception {
        return HexFormat.of().formatHex(MessageDigest.getInstance(algorithm).digest(data));
    }

    static SSLContext context() throws Exception {
        KeyStore store = KeyStore.getInstance("PKCS12");
        try (InputStream file = new FileInputStream("/app/key.p12")) {
            store.load(file, "study".toCharArray());
        }
        KeyManagerFactory keys = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        keys.init(store, "study".toCharArray());
        KeyStore trusted = KeyStore.getInstance(KeyStore.getDefaultType());
        trusted.load(null, null);
        try (InputStream file = new FileInputStream("/app/cert.pem")) {
            trusted.setCertificateEntry("own", CertificateFactory.getInstance("X.509").generateCertificate(file));
        }
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(trusted);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(keys.getKeyManagers(), trust.getTrustManagers(), null);
        return context;
    }

    static String overTls() throws Exception {
        SSLContext context = context();
        try (SSLServerSocket listening = (SSLServerSocket) context.getServerSocketFactory().createServerSocket(0, 1, InetAddress.getByName("127.0.0.1"))) {
            Thread thread = new Thread(() -> {
                try (Socket peer = listening.accept()) {
                    peer.getOutputStream().write("over tls\n".getBytes());
                } catch (IOException error) {
                    throw new UncheckedIOException(error);
                }
            });
            thread.start();
            try (Socket socket = context.getSocketFactory().createSocket("127.0.0.1", listening.getLocalPort())) {
                return new BufferedReader(new InputStreamReader(socket.getInputStream())).readLine();
            }
        }
    }

    static String run(String... command) throws Exception {
        Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        String said = new String(process.getInputStream().readAllBytes());
        return said + process.waitFor();
    }

    static int roots() throws Exception {
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init((KeyStore) null);
        return ((X509TrustManager) trust.getTrustManagers()[0]).getAcceptedIssuers().length;
    }

    public static void main(String[] arguments) throws IOException {
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", 8000), 0);
        server.setExecutor(Executors.newFixedThreadPool(4));
        serve(server, "/", () -> "hello\n");
        serve(server, "/crash", () -> { throw new IllegalStateException(); });
        serve(server, "/digests", () -> hex("MD5", new byte[1]) + hex("SHA3-512", new byte[1]));
        serve(server, "/cipher", () -> {
            Cipher cipher = Cipher.getInstance("AES/GCM/NoPadding");
            cipher.init(Cipher.ENCRYPT_MODE, new SecretKeySpec(new byte[16], "AES"), new GCMParameterSpec(128, new byte[12]));
            return HexFormat.of().formatHex(cipher.doFinal(new byte[3]));
        });
        serve(server, "/password", () -> SecretKeyFactory.getInstance("PBKDF2WithHmacSHA256")
                .generateSecret(new PBEKeySpec("p".toCharArray(), new byte[8], 9, 128)).getEncoded().length);
        serve(server, "/keys", () -> {
            KeyPair pair = KeyPairGenerator.getInstance("EC").generateKeyPair();
            Signature signature = Signature.getInstance("SHA256withECDSA");
            signature.initSign(pair.getPrivate());
            signature.update(new byte[3]);
            byte[] signed = signature.sign();
            signature.initVerify(pair.getPublic());
            signature.update(new byte[3]);
            return signature.verify(signed);
        });
        serve(server, "/providers", () -> Arrays.stream(Security.getProviders()).map(Provider::getName).collect(Collectors.joining(",")));
        serve(server, "/random", () -> SecureRandom.getInstanceStrong().nextInt(1));
        serve(server, "/tls", Server::overTls);
        serve(server, "/roots", () -> roots() > 100);
        serve(server, "/zones", () -> ZonedDateTime.of(2025, 3, 9, 12, 0, 0, 0, ZoneId.of("America/St_Johns")) + " " + ZoneId.getAvailableZoneIds().size());
        serve(server, "/legacy-zone", () -> TimeZone.getTimeZone("Asia/Kathmandu").getDisplayName(Locale.FRENCH));
        serve(server, "/numbers", () -> NumberFormat.getCurrencyInstance(Locale.JAPAN).format(1234.5) + NumberFormat.getInstance(new Locale("ar", "EG")).format(12));
        serve(server, "/dates", () -> LocalDate.of(2024, 2, 29).format(DateTimeFormatter.ofLocalizedDate(FormatStyle.FULL).withLocale(Locale.GERMANY)));
        serve(server, "/collation", () -> Collator.getInstance(new Locale("sv")).compare("ä", "z") + Normalizer.normalize("ǆ", Normalizer.Form.NFKD));
        serve(server, "/encodings", () -> Stream.of("Shift_JIS", "EUC-KR", "GB18030", "windows-1251", "IBM037", "UTF-32")
                .map(name -> HexFormat.of().formatHex("日ж".getBytes(Charset.forName(name)))).collect(Collectors.joining(",")));
        serve(server, "/charsets", () -> Charset.availableCharsets().size());
        serve(server, "/lookup", () -> Arrays.stream(InetAddress.getAllByName("localhost")).map(InetAddress::getHostAddress).sorted().toList());
        serve(server, "/unknown", () -> InetAddress.getByName("nowhere.invalid"));
        serve(server, "/interfaces", () -> NetworkInterface.getByName("lo").isLoopback());
        serve(server, "/child", () -> run("id", "-u"));
        serve(server, "/shell", () -> run("sh", "-c", "printf %s $((6 * 7))"));
        serve(server, "/files", () -> {
            Path file = Files.createTempFile("study", ".txt");
            Files.writeString(file, "a\nb\n");
            String said = Files.readAllLines(file).size() + Files.probeContentType(file) + Files.getOwner(file);
            Files.delete(file);
            return said;
        });
        serve(server, "/watch", () -> { try (WatchService watch = FileSystems.getDefault().newWatchService()) { Path.of("/tmp").register(watch, StandardWatchEventKinds.ENTRY_CREATE); return "watches"; } });
        serve(server, "/archive", () -> {
            ByteArrayOutputStream out = new ByteArrayOutputStream();
            try (ZipOutputStream zip = new ZipOutputStream(out)) { zip.putNextEntry(new ZipEntry("a")); zip.write(new byte[999]); }
            CRC32 sum = new CRC32();
            sum.update(new byte[9]);
            return new ZipInputStream(new ByteArrayInputStream(out.toByteArray())).getNextEntry().getName() + sum.getValue();
        });
        serve(server, "/zip-filesystem", () -> { try (FileSystem zip = FileSystems.newFileSystem(Path.of("/tmp/study-" + System.nanoTime() + ".zip"), Map.of("create", "true"))) { return zip.isOpen(); } });
        serve(server, "/xml", () -> javax.xml.parsers.DocumentBuilderFactory.newInstance().newDocumentBuilder()
                .parse(new ByteArrayInputStream("<a b='1'><c/></a>".getBytes())).getDocumentElement().getAttribute("b"));
        serve(server, "/transform", () -> { StringWriter out = new StringWriter(); javax.xml.transform.TransformerFactory.newInstance().newTransformer().transform(
                new javax.xml.transform.stream.StreamSource(new StringReader("<a/>")), new javax.xml.transform.stream.StreamResult(out)); return out; });
        serve(server, "/serialized", () -> { ByteArrayOutputStream out = new ByteArrayOutputStream(); new ObjectOutputStream(out).writeObject(new ArrayList<>(List.of(1))); return new ObjectInputStream(new ByteArrayInputStream(out.toByteArray())).readObject(); });
        serve(server, "/logging", () -> { java.util.logging.Logger.getLogger("study").warning("said"); return "said"; });
        serve(server, "/management", () -> java.lang.management.ManagementFactory.getRuntimeMXBean().getVmName().isEmpty());
        serve(server, "/beans", () -> java.lang.management.ManagementFactory.getPlatformMBeanServer().getDefaultDomain());
        serve(server, "/client", () -> java.net.http.HttpClient.newHttpClient().send(
                java.net.http.HttpRequest.newBuilder(URI.create("http://127.0.0.1:8000/")).build(), java.net.http.HttpResponse.BodyHandlers.ofString()).body());
        serve(server, "/image", () -> { System.setProperty("java.awt.headless", "true"); return new java.awt.image.BufferedImage(2, 2, 1).getWidth(); });
        serve(server, "/preferences", () -> Preferences.userRoot().absolutePath());
        serve(server, "/sql", () -> java.sql.DriverManager.drivers().count());
        serve(server, "/script", () -> new javax.script.ScriptEngineManager().getEngineFactories().size());
        serve(server, "/naming", () -> new javax.naming.CompositeName("a/b").size());
        serve(server, "/parallel", () -> IntStream.range(0, 9999).parallel().sum() + CompletableFuture.supplyAsync(() -> 1).get());
        serve(server, "/format", () -> MessageFormat.format("{0,number} {1}", 1234, "x") + String.format("%,.2f", 1234.5) + Pattern.compile("\\p{Lu}").matcher("ÄbC").replaceAll("_"));
        serve(server, "/compiler", () -> javax.tools.ToolProvider.getSystemJavaCompiler().getSourceVersions().isEmpty());
        serve(server, "/user", () -> System.getProperty("user.name"));
        server.start();
    }
}
