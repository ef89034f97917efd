package static_test

import (
	"regexp"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	linked   = regexp.MustCompile(`(?:href|src)="([a-z0-9]+\.(?:js|css|svg))"`)
	imported = regexp.MustCompile(`from '\./([a-z0-9]+\.js)'`)
	quoted   = regexp.MustCompile(`'([a-z0-9]+\.(?:js|css|svg|html))'`)
)

// The service worker keeps exactly what its page loads: one file less, and the page does not open without a connection.
func TestServiceWorkerKeepsThePage(t *testing.T) {
	needed := []string{"questionnaires.html"}
	for i := 0; i < len(needed); i++ {
		source := read(t, needed[i])
		for _, m := range append(linked.FindAllStringSubmatch(source, -1), imported.FindAllStringSubmatch(source, -1)...) {
			if !slices.Contains(needed, m[1]) {
				needed = append(needed, m[1])
			}
		}
	}
	var kept []string
	list := regexp.MustCompile(`(?s)const files = \[(.*?)\]`).FindStringSubmatch(read(t, "questionnaires-worker.js"))[1]
	for _, m := range quoted.FindAllStringSubmatch(list, -1) {
		kept = append(kept, m[1])
	}
	require.ElementsMatch(t, needed, kept)
}
