import java.io.File;
import java.nio.file.Files;
import java.security.MessageDigest;
import java.util.HexFormat;
import java.util.List;

/** What the clients in Java hand in, and how they say what was answered with a 2xx. */
class HandedIn {
    static final String URL = System.getenv("CASEPRESS_URL");
    static final String NOTES = "rash; 12\" on the left arm & hand = \u76ae\u75b9 \ud83d\ude00";
    static final List<File> PHOTOS = List.of(source("examples/photo-1.jpg"), source("examples/photo-2.jpg"));
    static final List<File> DRAWINGS = List.of(source("docs/images/page.png"), source("docs/images/pdf.png"));

    static File source(String name) {
        return new File(System.getenv("CASEPRESS_SOURCE"), name);
    }

    static String sha256(byte[] bytes) throws Exception {
        return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(bytes));
    }

    static String sha256(File file) throws Exception {
        return sha256(Files.readAllBytes(file.toPath()));
    }

    /** Writes the line that after.mjs reads when the server was killed. */
    static void storedReport(String id, String receipt, List<String> digests) {
        System.out.println("stored report " + id + " " + receipt + " " + String.join(",", digests));
    }

    static void storedImage(String patient, String id, String digest) {
        System.out.println("stored image " + patient + " " + id + " " + digest);
    }

    static void check(boolean ok, Object otherwise) {
        if (!ok) throw new AssertionError(otherwise);
    }

    static void checkPDF(byte[] pdf, int bytes, String digest) throws Exception {
        check(pdf.length == bytes && sha256(pdf).equals(digest) && new String(pdf, 0, 5, "ISO-8859-1").equals("%PDF-"), "another PDF");
    }
}
