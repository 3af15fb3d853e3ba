package driftline.bench;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Properties;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;

/**
 * Runs the job once for each line of standard input, which names its application id and its output topic, until the
 * input ends. A line stops the job before it, so the second run finds a warm machine.
 *
 * <p>Arguments: bootstrap servers, predictions topic, labels topic, label horizon in milliseconds, state directory.
 */
public final class Main {
    private Main() {}

    public static void main(String[] arguments) throws IOException {
        Duration horizon = Duration.ofMillis(Long.parseLong(arguments[3]));
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        KafkaStreams running = null;
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            stop(running);
            String[] names = line.split(" ");
            Properties settings = new Properties();
            settings.put(StreamsConfig.APPLICATION_ID_CONFIG, names[0]);
            settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, arguments[0]);
            settings.put(StreamsConfig.STATE_DIR_CONFIG, arguments[4]);
            settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
            running = new KafkaStreams(Job.topology(arguments[1], arguments[2], names[1], horizon), settings);
            running.setUncaughtExceptionHandler(error -> {
                error.printStackTrace();
                Runtime.getRuntime().halt(1);
                return null;
            });
            running.start();
        }
        stop(running);
    }

    private static void stop(KafkaStreams running) {
        if (running != null) {
            running.close();
            running.cleanUp();
        }
    }
}
