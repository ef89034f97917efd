package static_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var staffPages = []string{"index.html", "responses.html", "desk.html", "progress.html"}

var (
	header  = regexp.MustCompile(`(?s)<header class="top">.*?</header>`)
	title   = regexp.MustCompile(`<title data-t="(\w+)">([^<]+)</title>`)
	heading = regexp.MustCompile(`<h1 [^>]*data-t="(\w+)">([^<]+)</h1>`)
	current = regexp.MustCompile(`<a class="quiet" href="([^"#]+)#" data-t="(\w+)" aria-current="page">([^<]+)</a>`)
)

// The pages of staff have the same header, in which each is marked on itself, and a page has one name: in it, in its heading and in its title.
func TestStaffPagesHaveOneHeader(t *testing.T) {
	unmarked := func(page string) string {
		return strings.Replace(header.FindString(read(t, page)), ` aria-current="page"`, "", 1)
	}
	for _, page := range staffPages {
		require.NotEmpty(t, unmarked(page), page)
		require.Equal(t, unmarked(staffPages[0]), unmarked(page), page)
		own := current.FindStringSubmatch(read(t, page))
		require.NotEmpty(t, own, page)
		address := page
		if page == "index.html" {
			address = "./"
		}
		require.Equal(t, address, own[1])
		require.Equal(t, own[2:], title.FindStringSubmatch(read(t, page))[1:], page)
		require.Equal(t, own[2:], heading.FindStringSubmatch(read(t, page))[1:], page)
	}
}

// A patient is led to no page of staff.
func TestThePatientsPageLinksToNoOther(t *testing.T) {
	source := read(t, "questionnaires.html")
	for _, page := range append(staffPages, `href="./`) {
		require.NotContains(t, source, page)
	}
}
