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
 * Runs the job once for each line of standard input until the input ends: application id, output topic, number of
 * threads, and "left" or "inner" for the join. A line stops the job before it, so the second run finds a warm machine.
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
            String[] words = line.split(" ");
            Properties settings = new Properties();
            settings.put(StreamsConfig.APPLICATION_ID_CONFIG, words[0]);
            settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, arguments[0]);
            settings.put(StreamsConfig.STATE_DIR_CONFIG, arguments[4]);
            settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
            settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, words[2]);
            boolean isInner = words[3].equals("inner");
            running = new KafkaStreams(
                    Job.topology(arguments[1], arguments[2], words[1], horizon, isInner), settings);
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
