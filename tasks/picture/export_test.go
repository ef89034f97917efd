package picture

import (
	"context"
	"io"

	"casepress/tasks/picture/container"
	"casepress/tasks/picture/metadata"
)

// Names returns what the details of a file name, whether or not it can be decoded.
func Names(ctx context.Context, src io.ReaderAt, size int64) (metadata.Summary, error) {
	h, err := readHeader(container.NewReader(ctx, src, size, headerBudget))
	if err != nil {
		return metadata.Summary{}, err
	}
	r := container.NewReader(ctx, src, size, detailsBudget)
	names := metadata.New(r)
	h.codec.details(h, r, names)
	return names.Summary(), r.Err()
}

// The budgets of [Names] in bytes.
const NamesBudget = headerBudget + detailsBudget
