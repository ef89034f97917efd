package tasks

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// ParseJSON reads one JSON document that a client sent, for [JSONIntake.Parse]. It refuses what could be read in
// two ways: members that are unknown or come twice, a value of another type, and anything after the document.
func ParseJSON[C Content](document []byte) (C, error) {
	var c C
	names := json.NewDecoder(bytes.NewReader(document))
	names.UseNumber()
	if wrong := checkNames(names, ""); wrong != nil {
		return c, FieldErrors{*wrong}
	}
	strict := json.NewDecoder(bytes.NewReader(document))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&c); err != nil {
		return c, FieldErrors{decodeError(err)}
	}
	if _, err := strict.Token(); !errors.Is(err, io.EOF) {
		return c, FieldErrors{{"", "something follows the document; send one JSON object"}}
	}
	return c, nil
}

func decodeError(err error) FieldError {
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return FieldError{"/" + strings.ReplaceAll(e.Field, ".", "/"), fmt.Sprintf("a %s stands where a %s belongs", e.Value, e.Type)}
	}
	return FieldError{"", "not what is expected: " + strings.TrimPrefix(err.Error(), "json: ")}
}

// checkNames walks one value and returns the first member that comes twice in its object, or where the JSON
// breaks off.
func checkNames(d *json.Decoder, at string) *FieldError {
	token, err := d.Token()
	if err != nil {
		return &FieldError{at, "not JSON: " + err.Error()}
	}
	delim, ok := token.(json.Delim)
	if !ok {
		return nil
	}
	seen := map[string]bool{}
	for n := 0; d.More(); n++ {
		member := at + "/" + strconv.Itoa(n)
		if delim == '{' {
			name, err := d.Token()
			if err != nil {
				return &FieldError{at, "not JSON: " + err.Error()}
			}
			member = at + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name.(string))
			// encoding/json takes a name in any case, so two that differ only in that are the same to it.
			if folded := strings.ToLower(name.(string)); seen[folded] {
				return &FieldError{member, "this member comes twice"}
			} else {
				seen[folded] = true
			}
		}
		if wrong := checkNames(d, member); wrong != nil {
			return wrong
		}
	}
	if _, err := d.Token(); err != nil {
		return &FieldError{at, "not JSON: " + err.Error()}
	}
	return nil
}
