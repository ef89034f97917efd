-- Cases of which somebody was told, and exercises.

ALTER TABLE adverse_events ADD COLUMN exercise INTEGER NOT NULL DEFAULT 0; -- 1: a drill; it is in the content, and here for lists

-- Exercises are few, and whatever counts leaves them out.
CREATE INDEX adverse_events_exercises ON adverse_events (id) WHERE exercise = 1;

-- How the channels stand by which people are told of cases. That is found out by telling them, and if it is lost it is found out
-- again.
CREATE TABLE alert_channels (
    study         TEXT   NOT NULL, -- whose ladder has it
    channel       TEXT   NOT NULL, -- id of a webhook endpoint, or label of a mail address
    failing_since BIGINT NOT NULL, -- 0: the last attempt was taken
    last_at       BIGINT NOT NULL, -- the last attempt
    last_error    TEXT   NOT NULL, -- why it failed; '' if it was taken
    told_at       BIGINT NOT NULL, -- when others were told last that it fails; 0: never
    PRIMARY KEY (study, channel)
) WITHOUT ROWID;
