-- Fewer entries are written for a submission.
--
-- An index of the unfinished had to be looked at, and mostly written, at each change of status, as submissions_status has
-- to be anyway: what is unfinished is found by that one now, a status at a time. Suspects are few, and have an index that
-- nothing else is written to.

DROP INDEX submissions_unfinished;
CREATE INDEX submissions_suspect ON submissions (kind, due_sequence) WHERE suspect = 1;
