package driftline.bench;

import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import com.fasterxml.jackson.annotation.JsonProperty;

/** The fields of a prediction that the job needs; the others are not kept. */
@JsonIgnoreProperties(ignoreUnknown = true)
record Prediction(
        String model,
        @JsonProperty("model_version") String modelVersion,
        @JsonProperty("timestamp_ms") long timestampMs,
        int prediction) {}
