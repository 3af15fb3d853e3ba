package driftline.bench;

import com.fasterxml.jackson.annotation.JsonProperty;

/** The event that is published for a window; the newest one of a key counts. */
record WindowCounts(
        @JsonProperty("window_start_ms") long windowStartMs, long predictions, long labelled, long correct) {}
