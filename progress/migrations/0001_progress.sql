-- A patient of a study of whom anything has come. site is the one that the latest event names.
CREATE TABLE subjects (
	study      TEXT   NOT NULL,
	patient_id TEXT   NOT NULL,
	site       TEXT   NOT NULL,
	site_at    BIGINT NOT NULL, -- time of the event that named it
	PRIMARY KEY (study, patient_id)
) WITHOUT ROWID;

-- One revision of a submission, as its latest attempt ended. All times are microseconds since 1970, UTC.
CREATE TABLE submissions (
	kind         TEXT   NOT NULL,
	id           TEXT   NOT NULL,
	revision     BIGINT NOT NULL,
	study        TEXT   NOT NULL,
	patient_id   TEXT   NOT NULL,
	visit_id     TEXT   NOT NULL,
	item         TEXT   NOT NULL, -- what it counts as: an instrument, "case-report"
	attempt      BIGINT NOT NULL, -- an event of the same or an earlier attempt changes nothing
	event_id     TEXT   NOT NULL,
	completed    BIGINT NOT NULL, -- 1 completed, 0 failed
	occurred_at  BIGINT NOT NULL,
	finished_at  BIGINT NOT NULL,
	url          TEXT   NOT NULL,
	-- Of all revisions of a submission one counts. It knows when the first of them occurred, and the first that is completed;
	-- completed_at is NULL if none is.
	counts       BIGINT NOT NULL,
	since        BIGINT NOT NULL,
	completed_at BIGINT,
	PRIMARY KEY (kind, id, revision)
) WITHOUT ROWID;

-- It has everything that figures are made of.
CREATE INDEX submissions_by_visit ON submissions (study, patient_id, visit_id, item, counts, since, completed_at);

-- How far the rows have come: all before next are in them. incarnation says of which topic.
CREATE TABLE positions (
	topic       TEXT   NOT NULL,
	partition   BIGINT NOT NULL,
	next        BIGINT NOT NULL,
	incarnation TEXT   NOT NULL,
	PRIMARY KEY (topic, partition)
) WITHOUT ROWID;
