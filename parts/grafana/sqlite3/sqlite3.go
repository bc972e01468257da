// Package sqlite3 stands in for github.com/mattn/go-sqlite3, which needs a C compiler, on top of modernc.org/sqlite,
// which is SQLite translated to Go. It offers what Grafana uses of the original and behaves alike where Grafana
// would notice: error values and codes, how times and booleans are stored and read, and the busy time-out.
package sqlite3

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"strings"
	"time"

	"modernc.org/sqlite"
)

// SQLiteDriver opens SQLite databases for database/sql.
type SQLiteDriver struct{}

func init() { sql.Register("sqlite3", &SQLiteDriver{}) }

// ErrNo is a primary result code of SQLite; see https://www.sqlite.org/rescode.html.
type ErrNo int

// ErrNoExtended is an extended result code of SQLite.
type ErrNoExtended int

// The result codes that Grafana asks about.
const (
	ErrBusy             ErrNo         = 5
	ErrLocked           ErrNo         = 6
	ErrConstraintUnique ErrNoExtended = 2067
)

// Error is what every failing call of SQLite yields. It is a value, not a pointer: callers look for it by errors.As.
type Error struct {
	Code         ErrNo
	ExtendedCode ErrNoExtended
	message      string
}

func (e Error) Error() string { return e.message }

// wrap turns an error of the translated SQLite into an Error and leaves any other as it is.
func wrap(err error) error {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return err
	}
	return Error{Code: ErrNo(e.Code() & 0xff), ExtendedCode: ErrNoExtended(e.Code()), message: e.Error()}
}

// backend is the translated SQLite's driver: it registers itself under this name.
var backend = func() driver.Driver {
	db, err := sql.Open("sqlite", "")
	if err != nil {
		panic(err) // only if the name were not registered
	}
	return db.Driver()
}()

// Open opens a database by the original's data source name: a URI whose parameters _journal_mode and _busy_timeout
// are understood besides SQLite's own. The busy time-out is 5 s unless given, as in the original.
func (*SQLiteDriver) Open(name string) (driver.Conn, error) {
	path, query, _ := strings.Cut(name, "?")
	params := []string{"_time_format=sqlite"}
	timeout := "5000"
	for _, p := range strings.Split(query, "&") {
		switch key, value, _ := strings.Cut(p, "="); key {
		case "":
		case "_journal_mode", "_journal":
			params = append(params, "_pragma=journal_mode("+value+")")
		case "_busy_timeout", "_timeout":
			timeout = value
		default:
			params = append(params, p)
		}
	}
	params = append(params, "_pragma=busy_timeout("+timeout+")")
	c, err := backend.Open(path + "?" + strings.Join(params, "&"))
	if err != nil {
		return nil, wrap(err)
	}
	return &conn{c.(backendConn)}, nil
}

// backendConn is what a connection of the translated SQLite offers.
type backendConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
}

// backendStmt is what a statement of the translated SQLite offers.
type backendStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

type conn struct{ backendConn }

func (c *conn) Prepare(query string) (driver.Stmt, error) {
	return c.PrepareContext(context.Background(), query)
}

func (c *conn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	s, err := c.backendConn.PrepareContext(ctx, query)
	if err != nil {
		return nil, wrap(err)
	}
	return &stmt{s.(backendStmt)}, nil
}

func (c *conn) Begin() (driver.Tx, error) { return c.BeginTx(context.Background(), driver.TxOptions{}) }

func (c *conn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	t, err := c.backendConn.BeginTx(ctx, opts)
	if err != nil {
		return nil, wrap(err)
	}
	return tx{t}, nil
}

func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	r, err := c.backendConn.ExecContext(ctx, query, args)
	return r, wrap(err)
}

func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	return newRows(c.backendConn.QueryContext(ctx, query, args))
}

func (c *conn) Ping(ctx context.Context) error { return wrap(c.backendConn.Ping(ctx)) }

func (c *conn) Close() error { return wrap(c.backendConn.Close()) }

type tx struct{ driver.Tx }

func (t tx) Commit() error { return wrap(t.Tx.Commit()) }

func (t tx) Rollback() error { return wrap(t.Tx.Rollback()) }

type stmt struct{ backendStmt }

func (s *stmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	r, err := s.backendStmt.ExecContext(ctx, args)
	return r, wrap(err)
}

func (s *stmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	return newRows(s.backendStmt.QueryContext(ctx, args))
}

func (s *stmt) Close() error { return wrap(s.backendStmt.Close()) }

// rows converts values by the type that their column was declared with, as the original does.
type rows struct {
	driver.Rows
	types []string
}

func newRows(r driver.Rows, err error) (driver.Rows, error) {
	if err != nil {
		return nil, wrap(err)
	}
	out := &rows{Rows: r, types: make([]string, len(r.Columns()))}
	if named, ok := r.(driver.RowsColumnTypeDatabaseTypeName); ok {
		for i := range out.types {
			out.types[i] = strings.ToUpper(named.ColumnTypeDatabaseTypeName(i))
		}
	}
	return out, nil
}

// ColumnTypeDatabaseTypeName returns the declared type of a column, in capitals.
func (r *rows) ColumnTypeDatabaseTypeName(index int) string { return r.types[index] }

func (r *rows) Close() error { return wrap(r.Rows.Close()) }

func (r *rows) Next(dest []driver.Value) error {
	if err := r.Rows.Next(dest); err != nil {
		return wrap(err)
	}
	for i, value := range dest {
		switch r.types[i] {
		case "BOOLEAN":
			if n, ok := value.(int64); ok {
				dest[i] = n > 0
			}
		case "TIMESTAMP", "DATETIME", "DATE":
			switch v := value.(type) {
			case int64:
				dest[i] = unix(v)
			case time.Time:
				dest[i] = v.UTC()
			case string: // not a time that can be read
				dest[i] = time.Time{}
			}
		}
	}
	return nil
}

// unix reads a time stored as a number: seconds, or milliseconds where it is too large for seconds.
func unix(n int64) time.Time {
	if n > 1e12 || n < -1e12 {
		return time.UnixMilli(n).UTC()
	}
	return time.Unix(n, 0).UTC()
}
