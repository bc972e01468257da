package sqlite3

import (
	"database/sql"
	"errors"
	"path/filepath"
	"testing"
	"time"
)

// open makes an empty database with one table, through the name that Grafana builds.
func open(t *testing.T) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite3", "file:"+filepath.Join(t.TempDir(), "t.db")+"?cache=private&mode=rwc&_journal_mode=WAL")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if _, err := db.Exec("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT UNIQUE, at DATETIME, yes BOOLEAN); CREATE INDEX i ON t (at)"); err != nil {
		t.Fatal(err)
	}
	return db
}

func TestValuesComeBackAsDeclared(t *testing.T) {
	db := open(t)
	at := time.Date(2023, 6, 9, 16, 45, 53, 123456789, time.FixedZone("", 7200))
	for name, stored := range map[string]any{"time": at, "seconds": at.Unix(), "milliseconds": at.UnixMilli(), "nonsense": "soon"} {
		if _, err := db.Exec("INSERT INTO t (name, at, yes) VALUES (?, ?, ?)", name, stored, true); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]time.Time{
		"time": at.UTC(), "seconds": at.UTC().Truncate(time.Second), "milliseconds": at.UTC().Truncate(time.Millisecond), "nonsense": {},
	} {
		var got, yes any
		if err := db.QueryRow("SELECT at, yes FROM t WHERE name = ?", name).Scan(&got, &yes); err != nil {
			t.Fatal(err)
		}
		if got != want || yes != true {
			t.Errorf("%s: got %v, %v; want %v, true", name, got, yes, want)
		}
	}
	var text string
	if err := db.QueryRow("SELECT CAST(at AS TEXT) || '' FROM t WHERE name = 'time'").Scan(&text); err != nil {
		t.Fatal(err)
	}
	if want := "2023-06-09 16:45:53.123456789+02:00"; text != want {
		t.Errorf("stored %q, want %q", text, want)
	}
}

func TestErrorsCarryCodes(t *testing.T) {
	db := open(t)
	for i, insert := range []func() error{
		func() error { _, err := db.Exec("INSERT INTO t (name) VALUES (?)", "a"); return err },
		func() error {
			s, err := db.Prepare("INSERT INTO t (name) VALUES (?)")
			if err != nil {
				return err
			}
			defer s.Close()
			_, err = s.Exec("a")
			return err
		},
		func() error { return db.QueryRow("INSERT INTO t (name) VALUES ('a') RETURNING id").Scan(new(int)) },
	} {
		err := insert()
		if i == 0 {
			if err != nil {
				t.Fatal(err)
			}
			continue
		}
		var e Error
		if !errors.As(err, &e) || e.ExtendedCode != ErrConstraintUnique {
			t.Errorf("way %d: %v (%T)", i, err, err)
		}
	}
}

func TestBusyIsReported(t *testing.T) {
	path := "file:" + filepath.Join(t.TempDir(), "t.db") + "?_busy_timeout=1"
	a, err := sql.Open("sqlite3", path)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := sql.Open("sqlite3", path)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if _, err := a.Exec("CREATE TABLE t (id INTEGER)"); err != nil {
		t.Fatal(err)
	}
	held, err := a.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer held.Rollback()
	if _, err := held.Exec("INSERT INTO t VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	_, err = b.Exec("INSERT INTO t VALUES (2)")
	var e Error
	if !errors.As(err, &e) || e.Code != ErrBusy {
		t.Errorf("got %v (%T), want the code of a busy database", err, err)
	}
}
