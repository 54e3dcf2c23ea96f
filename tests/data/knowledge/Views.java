// Does one thing of which no other needs what it needs of the runtime; says "done".
import java.awt.Font;
import java.awt.image.BufferedImage;
import java.time.ZoneId;

public class Views {
    public static void main(String[] arguments) {
        switch (arguments[0]) {
            case "zone" -> ZoneId.of("Pacific/Chatham").getRules();
            case "text" -> {
                var image = new BufferedImage(99, 9, BufferedImage.TYPE_INT_RGB).createGraphics();
                image.setFont(new Font("SansSerif", Font.PLAIN, 9));
                image.drawString("text", 1, 9);
            }
        }
        System.out.println("done");
    }
}
