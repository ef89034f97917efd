package embedded

import (
	"context"
	"slices"
	"time"

	"casepress/blob"
)

const (
	// collectEach is how often blobs are collected that no row names.
	collectEach = time.Hour
	// collectUnused is how long a blob must not have been used before it may be collected: what an upload has
	// stored and its submission has not named yet is younger.
	collectUnused = 24 * time.Hour
)

// collect deletes blobs that no row names, until ctx ends: what was stored for a submission that was refused, and
// what an attempt made that never completed.
func (l *Ledger) collect(ctx context.Context) {
	for sleep(ctx, collectEach) {
		found, err := l.collectOnce(ctx)
		if err != nil && ctx.Err() == nil {
			l.cfg.Logger.Error("blobs that nothing names could not be collected and will be looked for again", "err", err)
			continue
		}
		if found.Blobs > 0 {
			l.cfg.Logger.Info("collected blobs that nothing names", "blobs", found.Blobs, "bytes", found.Bytes)
		}
	}
}

// collectOnce reads once which blobs the rows name, when they show everything accepted so far. What they come to name while it
// reads, or while it deletes, was used since it began or at most collectUnused before: that much longer must a
// blob not have been used. A few that nothing names look named; the next time it is others.
func (l *Ledger) collectOnce(ctx context.Context) (blob.Collected, error) {
	start := time.Now()
	if err := l.CaughtUp(ctx); err != nil {
		return blob.Collected{}, err
	}
	named, err := l.store.NamedBlobs(ctx)
	if err != nil {
		return blob.Collected{}, err
	}
	unnamed := func(_ context.Context, keys []blob.Key) ([]blob.Key, error) {
		return slices.DeleteFunc(slices.Clone(keys), func(k blob.Key) bool { return named.Has(string(k)) }), nil
	}
	return l.cfg.Blobs.Collect(ctx, collectUnused+time.Since(start), unnamed)
}

// filterKeys asks the rows about keys.
func filterKeys(ctx context.Context, keys []blob.Key, rows func(context.Context, []string) ([]string, error)) ([]blob.Key, error) {
	digests := make([]string, len(keys))
	for i, k := range keys {
		digests[i] = string(k)
	}
	found, err := rows(ctx, digests)
	answer := make([]blob.Key, len(found))
	for i, sha256 := range found {
		answer[i] = blob.Key(sha256)
	}
	return answer, err
}
