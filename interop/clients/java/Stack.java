import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Flow;

/** java.net.http by hand: upload, the same again, poll, and resume after a cut. */
class Stack {
    static final String PATIENT = "P-java-net-http";
    static final HttpClient CLIENT = HttpClient.newHttpClient();

    static HttpRequest.Builder to(String path) {
        return HttpRequest.newBuilder(URI.create(HandedIn.URL + path));
    }

    static HttpResponse<String> send(HttpRequest request, int want) throws Exception {
        HttpResponse<String> response = CLIENT.send(request, BodyHandlers.ofString());
        HandedIn.check(response.statusCode() == want, request + ": " + response.statusCode() + " " + response.body());
        return response;
    }

    static JsonObject json(HttpResponse<String> response) {
        return JsonParser.parseString(response.body()).getAsJsonObject();
    }

    /** The form is made anew for each try. */
    static HttpRequest upload() throws Exception {
        ByteArrayOutputStream form = new ByteArrayOutputStream();
        String boundary = "b8f1c";
        for (String[] field : new String[][] {{"patientId", PATIENT}, {"notes", HandedIn.NOTES}}) {
            form.writeBytes(("--" + boundary + "\r\nContent-Disposition: form-data; name=\"" + field[0] + "\"\r\n\r\n" + field[1] + "\r\n").getBytes(StandardCharsets.UTF_8));
        }
        for (File photo : HandedIn.PHOTOS) {
            form.writeBytes(("--" + boundary + "\r\nContent-Disposition: form-data; name=\"images\"; filename=\"" + photo.getName()
                + "\"\r\nContent-Type: image/jpeg\r\n\r\n").getBytes(StandardCharsets.UTF_8));
            form.writeBytes(Files.readAllBytes(photo.toPath()));
            form.writeBytes("\r\n".getBytes(StandardCharsets.UTF_8));
        }
        form.writeBytes(("--" + boundary + "--\r\n").getBytes(StandardCharsets.UTF_8));
        return to("/upload-case-report").header("Content-Type", "multipart/form-data; boundary=" + boundary)
            .header("Idempotency-Key", "\"hand-java-net-http\"").POST(BodyPublishers.ofByteArray(form.toByteArray())).build();
    }

    static void stored(JsonObject accepted) {
        HandedIn.storedReport(accepted.get("id").getAsString(), digest(accepted.getAsJsonObject("receipt")), digests(accepted));
    }

    static String digest(JsonObject of) {
        return of.get("sha256").getAsString();
    }

    /** The digests of the images of an answer. */
    static List<String> digests(JsonObject answer) {
        List<String> digests = new ArrayList<>();
        answer.getAsJsonArray("images").forEach(image -> digests.add(digest(image.getAsJsonObject())));
        return digests;
    }

    static void check(JsonObject report, List<File> files) throws Exception {
        List<String> want = new ArrayList<>();
        for (File file : files) want.add(HandedIn.sha256(file));
        HandedIn.check(report.get("status").getAsString().equals("completed") && digests(report).equals(want)
            && report.get("notes").getAsString().equals(HandedIn.NOTES) && report.getAsJsonArray("problems").isEmpty(), report);
    }

    public static void main(String[] args) throws Exception {
        JsonObject first = json(send(upload(), 202));
        stored(first);
        HttpResponse<String> again = send(upload(), 202);
        HandedIn.check(again.headers().firstValue("Idempotency-Replayed").orElse("").equals("true"), again.headers());
        HandedIn.check(json(again).get("receipt").equals(first.get("receipt")), again.body());

        JsonObject report = new JsonObject();
        report.addProperty("status", "accepted");
        String etag = "";
        while (!report.get("status").getAsString().equals("completed")) {
            HttpRequest.Builder poll = to(first.get("statusUrl").getAsString() + "?wait=20s");
            if (!etag.isEmpty()) poll.header("If-None-Match", etag);
            HttpResponse<String> response = CLIENT.send(poll.build(), BodyHandlers.ofString());
            if (response.statusCode() == 304) continue;
            HandedIn.check(response.statusCode() == 200, response.body());
            report = json(response);
            etag = response.headers().firstValue("ETag").orElseThrow();
            HandedIn.check(!report.get("status").getAsString().equals("failed"), report);
        }
        check(report, HandedIn.PHOTOS);
        JsonObject document = report.getAsJsonObject("report");
        byte[] pdf = CLIENT.send(to(document.get("url").getAsString()).build(), BodyHandlers.ofByteArray()).body();
        HandedIn.checkPDF(pdf, document.get("bytes").getAsInt(), digest(document));

        // The line breaks in the middle of an image: nothing is there. Then it is put, and found by HEAD.
        File photo = HandedIn.PHOTOS.get(1);
        byte[] bytes = Files.readAllBytes(photo.toPath());
        String address = "/images/IMG-cut?patientId=" + PATIENT;
        IOException cut = null;
        try {
            CLIENT.send(to(address).PUT(half(bytes)).build(), BodyHandlers.ofString());
        } catch (IOException e) {
            cut = e;
        }
        HandedIn.check(cut != null, "half an image was answered");
        HttpRequest head = to(address).method("HEAD", BodyPublishers.noBody()).build();
        send(head, 404);
        JsonObject image = json(send(to(address).PUT(BodyPublishers.ofByteArray(bytes)).build(), 201));
        HandedIn.storedImage(image.get("patientId").getAsString(), image.get("imageId").getAsString(), digest(image));
        HandedIn.check(send(head, 200).headers().firstValue("ETag").orElse("").equals("\"" + HandedIn.sha256(bytes) + "\""), "another ETag");

        String form = "patientId=" + PATIENT + "&imageId=IMG-cut&reportId=hand-java-net-http-named&notes=" + URLEncoder.encode(HandedIn.NOTES, StandardCharsets.UTF_8);
        JsonObject named = json(send(to("/upload-case-report").header("Content-Type", "application/x-www-form-urlencoded").POST(BodyPublishers.ofString(form)).build(), 202));
        stored(named);
        check(json(send(to(named.get("statusUrl").getAsString() + "?wait=60s").build(), 200)), List.of(photo));
    }

    /** A body that says its whole length and breaks after half of it. */
    static BodyPublisher half(byte[] bytes) {
        InputStream broken = new InputStream() {
            private int at;

            @Override
            public int read() throws IOException {
                if (at >= bytes.length / 2) throw new IOException("cut");
                return bytes[at++] & 0xff;
            }
        };
        BodyPublisher stream = BodyPublishers.ofInputStream(() -> broken);
        return new BodyPublisher() {
            @Override
            public long contentLength() {
                return bytes.length;
            }

            @Override
            public void subscribe(Flow.Subscriber<? super java.nio.ByteBuffer> subscriber) {
                stream.subscribe(subscriber);
            }
        };
    }
}
