package main

import (
	"os"
	"path/filepath"
)

// A photo of the set: where it comes from, or how jpegtran makes it without loss from another.
type photo struct {
	name, what string
	group      string // what its figures are averaged with; empty: shown alone
	sha256     string
	module     string // Go module, version and path of its test data
	path       string
	from       string // name of the photo it is made from
	transform  []string
}

const (
	twelve      = "12 MP"
	twentyFour  = "24 MP"
	progressive = "progressive"

	bimg      = "github.com/h2non/bimg@v1.1.9"
	govips    = "github.com/davidbyttow/govips/v2@v2.16.0"
	imagemeta = "github.com/bep/imagemeta@v1.0.1"
)

// photos are the set. All is test data of modules under the MIT licence.
var photos = []photo{
	{
		name: "01_iphonexs_12mp_o6_p3.jpg", what: "iPhone XS, 12 MP, turned, Display P3", group: twelve,
		sha256: "859ae6a5fc33cdd99b7d8e148fe76f0b285981fa223a3c9ff0370a8db5c63dcf", module: bimg, path: "testdata/test_exif_full.jpg",
	},
	{
		name: "02_note10_12mp_o6.jpg", what: "Galaxy Note10+, 12 MP, turned", group: twelve,
		sha256: "66650ceb2211150bba3d84a9ae4e9f9971e03b5ad7830023230f7db86c8eacd7", module: govips, path: "resources/orientation-issue-1.jpg",
	},
	{
		name: "03_s8_12mp_o6.jpg", what: "Galaxy S8, 12 MP, turned", group: twelve,
		sha256: "05776cc1d3cb153cb928ad72bfc1c1cc639b6bcfefe5823a751a854a480d76e3", module: govips, path: "resources/jpg-orientation-6.jpg",
	},
	{
		name: "04_s8_9mp.jpg", what: "Galaxy S8, 9 MP, 5.8 MB",
		sha256: "9fc2dc093cf9c2b0a296b62e0b4e173484464f5f212d616aeef369d80d535f11", module: imagemeta, path: "testdata/images/hugo-issue-12669.jpg",
	},
	{
		name: "05_p7000_10mp_422.jpg", what: "Nikon P7000, 10 MP, 4:2:2",
		sha256: "1d451491efaf71a14c71cfdb87f12c5f4828c7ae11ea0c28c9cc81114c324c5a", module: imagemeta, path: "testdata/images/outofbounds-issue-34.jpg",
	},
	{
		name: "06_24mp.jpg", what: "4000 x 6000", group: twentyFour,
		sha256: "5624516cea0d084dba7bc7b3db7d148f14acae9430e5d59666bf347454d53d1b", module: bimg, path: "testdata/vertical.jpg",
	},
	{name: "08_progressive_12mp.jpg", what: "02 made progressive", group: progressive, from: "02_note10_12mp_o6.jpg", transform: []string{"-progressive"}},
	{name: "09_grey_12mp.jpg", what: "02 without colour", from: "02_note10_12mp_o6.jpg", transform: []string{"-grayscale"}},
	{name: "10_restart_12mp.jpg", what: "02 with a restart marker a row", from: "02_note10_12mp_o6.jpg", transform: []string{"-restart", "1"}},
	{name: "11_odd_9mp.jpg", what: "04 cropped to odd sides, 4027 x 2261", from: "04_s8_9mp.jpg", transform: []string{"-crop", "4027x2261+0+0"}},
}

// number is the photo's short name, "01".
func (p photo) number() string { return p.name[:2] }

// tenPhotos are the photos of a case report: those of 12 MP as they are, mirrored and turned, so that no two are alike.
var tenPhotos = func() (ten []photo) {
	for _, turn := range [][]string{nil, {"-flip", "horizontal"}, {"-rotate", "180"}, {"-flip", "vertical"}} {
		for _, p := range photos[:3] {
			if len(ten) == 10 {
				break
			}
			ten = append(ten, photo{name: filepath.Join("ten", "0"+string(rune('0'+len(ten)))+".jpg"), from: p.name, transform: turn})
		}
	}
	return ten
}()

// present returns the photos of a list that are in the folder, and the names of those that are not.
func present(dir string, list []photo) (there []photo, missing []string) {
	for _, p := range list {
		if _, err := os.Stat(filepath.Join(dir, p.name)); err != nil {
			missing = append(missing, p.name)
			continue
		}
		there = append(there, p)
	}
	return there, missing
}
