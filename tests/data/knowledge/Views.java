// Does one thing of which no other needs what it needs of the system; says "done".
import java.awt.Font;
import java.awt.image.BufferedImage;
import java.security.Security;
import java.time.ZoneId;

public class Views {
    static final String LIBRARIES = "/usr/lib/x86_64-linux-gnu";

    public static void main(String[] arguments) {
        switch (arguments[0]) {
            case "load-nss" -> System.load(LIBRARIES + "/libnss3.so");
            case "use-nss" -> Security.getProvider("SunPKCS11").configure(
                    "--name=nss\nnssDbMode=noDb\nnssLibraryDirectory=" + LIBRARIES + "\n");
            case "text" -> {
                var image = new BufferedImage(99, 9, BufferedImage.TYPE_INT_RGB).createGraphics();
                image.setFont(new Font("SansSerif", Font.PLAIN, 9));
                image.drawString("text", 1, 9);
            }
            case "zone" -> ZoneId.of("Pacific/Chatham").getRules();
        }
        System.out.println("done");
    }
}
