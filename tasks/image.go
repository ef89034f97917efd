package tasks

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"strconv"
)

var imageKind = &Kind{
	Name:      "image",
	Member:    "image",
	Topic:     TopicImages,
	ChangedBy: []string{TopicCaseReports}, // a report brings images of its own
	Decode:    func(content json.RawMessage) (Content, error) { return decodeAs[PatientImage](content) },
	Rows: Rows{
		Blobs:  []BlobColumns{{Table: "patient_images", Key: []string{"study", "patient_id", "image_id"}, Columns: []string{"sha256"}}},
		Insert: insertPatientImage, Find: findPatientImage, Receipt: imageReceipt, Verify: verifyPatientImages, Repeat: true,
	},
}

// KindImage is the kind of an image put ahead of the report that will name it.
func KindImage() *Kind { return imageKind }

// TopicImages holds images put ahead of the report that names them.
const TopicImages = "images"

// Image is one image of a case report as the client handed it in. The bytes themselves lie in the blob store
// under SHA256.
type Image struct {
	// ImageID names the image within one patient: 1-64 of A-Za-z0-9._-.
	ImageID string `json:"imageId"`
	// SHA256 is the lower-case hex digest of the bytes as received.
	SHA256 string `json:"sha256"`
	// Bytes is the size as received.
	Bytes int64 `json:"bytes"`
	// MediaType is what the leading bytes say, never what the client said.
	MediaType string `json:"mediaType"`
	// Name is the client's file name, a label only: it is not part of the report's digest, because phones
	// rename files between two tries.
	Name string `json:"name,omitempty"`
}

// DerivedPrefix begins the ImageID of a file that came without one.
const DerivedPrefix = "sha256-"

// DerivedImageID is the ImageID of a file that came without one: a part of its digest.
func DerivedImageID(sha256 string) string { return DerivedPrefix + sha256[:32] }

// PatientImage is an image put ahead of the report that will name it.
type PatientImage struct {
	Study     string `json:"study,omitempty"`
	PatientID string `json:"patientId"`
	Image
}

// Header says whose image it is.
func (i PatientImage) Header() Header {
	return Header{ID: i.ImageID, Study: i.Study, PatientID: i.PatientID}
}

// Digest is that of the image's bytes.
func (i PatientImage) Digest() string { return i.SHA256 }

// Key names the image within its patient.
func (i PatientImage) Key() string { return i.Header().Subject().Key() + "/" + i.ImageID }

// Originals is the digest of the image.
func (i PatientImage) Originals() []string { return []string{i.SHA256} }

// imageReceipt looks for an image by its id within the patient.
func imageReceipt(tx Tx, h Header) (sha256 string, found bool, err error) {
	return findPatientImage(tx, PatientImage{Study: h.Study, PatientID: h.PatientID, Image: Image{ImageID: h.ID}})
}

// PatientImageColumns are the columns of the table patient_images that [ScanPatientImage] reads.
const PatientImageColumns = `study, patient_id, image_id, sha256, bytes, media_type, name, check_sum`

// ScanPatientImage reads PatientImageColumns of one row. ErrChanged if they are not as they were written.
func ScanPatientImage(rows *sql.Rows) (img PatientImage, err error) {
	var sum int64
	if err := rows.Scan(&img.Study, &img.PatientID, &img.ImageID, &img.SHA256, &img.Bytes, &img.MediaType, &img.Name, &sum); err != nil {
		return PatientImage{}, err
	}
	if sum != 0 && sum != img.checkSum() {
		return PatientImage{}, fmt.Errorf("%w: the image %s, of %d bytes and with the digest %s", ErrChanged, img.ImageID, img.Bytes, img.SHA256)
	}
	return img, nil
}

// checkSum is that of all members, each with its length in front, so that no two images look the same.
func (i PatientImage) checkSum() int64 {
	b := make([]byte, 0, 256)
	for _, text := range []string{i.Study, i.PatientID, i.ImageID, i.SHA256, i.MediaType, i.Name} {
		b = append(strconv.AppendInt(b, int64(len(text)), 10), ':')
		b = append(b, text...)
	}
	return CheckSum(strconv.AppendInt(b, i.Bytes, 10))
}

// verifyPatientImages reads all, since most are never asked for again.
func verifyPatientImages(tx Tx) error {
	rows, err := tx.Query(`SELECT ` + PatientImageColumns + ` FROM patient_images`)
	if err != nil {
		return err
	}
	return EachRow(rows, func() error {
		_, err := ScanPatientImage(rows)
		return err
	})
}
