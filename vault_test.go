package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"casepress/blob"
)

func TestVaultKey(t *testing.T) {
	file := filepath.Join(t.TempDir(), "vault.key")
	var out strings.Builder
	require.NoError(t, run(t.Context(), []string{"vault-key", file}, &out, &out))
	require.Contains(t, out.String(), "age1")
	require.NotContains(t, out.String(), "SECRET")
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o600), info.Mode().Perm())
	require.ErrorIs(t, run(t.Context(), []string{"vault-key", file}, &out, &out), fs.ErrExist, "a key is never written over")

	made, err := os.Open(file)
	require.NoError(t, err)
	_, err = blob.ParseKeys(made)
	require.NoError(t, errors.Join(err, made.Close()))
}

func TestVaultKeyFileStaysOutOfTheDataFolder(t *testing.T) {
	data := t.TempDir()
	link := filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.Symlink(data, link))
	require.NoError(t, os.Mkdir(filepath.Join(data, "a"), 0o700))
	for _, name := range []string{"vault.key", "..vault.key"} {
		require.NoError(t, os.WriteFile(filepath.Join(data, name), nil, 0o600))
	}
	for file, want := range map[string]bool{
		filepath.Join(data, "vault.key"):    true,
		data + "/a/../vault.key":            true,
		filepath.Join(link, "..vault.key"):  true,
		filepath.Join(data, "../vault.key"): false,
		data + "-key":                       false,
	} {
		require.Equal(t, want, inside(data, file), "%s", file)
	}
}
