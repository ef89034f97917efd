package notify

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// secretPrefix and secretBytes are those of Standard Webhooks 1.0.0, "Signature scheme": 24 to 64 random bytes in base64.
const (
	secretPrefix = "whsec_"
	secretBytes  = 32
)

// NewSecret makes a secret that events are signed with: whsec_ and 32 random bytes in base64.
func NewSecret() string {
	b := make([]byte, secretBytes)
	_, _ = rand.Read(b) // never fails
	return secretPrefix + base64.StdEncoding.EncodeToString(b)
}

// messageID is the webhook-id of an event: the same for each attempt and each endpoint. It is made of the event's id, which
// may have dots, and these stand between the parts of what is signed.
func messageID(eventID string) string {
	sum := sha256.Sum256([]byte(eventID))
	return "evt_" + hex.EncodeToString(sum[:16])
}

// sign returns the header webhook-signature of a message at a time: for each secret "v1," and the HMAC-SHA256 of id,
// time in seconds and body, with dots between them.
func sign(secrets []string, id string, at time.Time, body []byte) (string, error) {
	signatures := make([]string, len(secrets))
	for i, secret := range secrets {
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, secretPrefix))
		if err != nil {
			return "", fmt.Errorf("a secret is not base64: %w", err)
		}
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(id + "." + strconv.FormatInt(at.Unix(), 10) + "."))
		mac.Write(body)
		signatures[i] = "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	return strings.Join(signatures, " "), nil
}
