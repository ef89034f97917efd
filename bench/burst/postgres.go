package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/jackc/pgx/v5/pgxpool"

	"casepress/study"
	"casepress/tasks"
)

// postgresConnections is how many connections the service has to PostgreSQL. More of them let more INSERTs share a
// sync, and cost more processes on the same processors. Other numbers were not tried.
const postgresConnections = 32

// socket is the folder of PostgreSQL's socket: the service talks to it without TCP, as it does best.
func socket(data string) string { return filepath.Join(data, "postgres") }

// startPostgres makes a cluster with PostgreSQL's defaults and starts it, as user postgres if this is root.
func (set settings) startPostgres(ctx context.Context, data string) (stop func() error, err error) {
	dir := socket(data)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	var as *syscall.SysProcAttr
	if os.Geteuid() == 0 {
		postgres, err := user.Lookup("postgres")
		if err != nil {
			return nil, fmt.Errorf("PostgreSQL does not run as root: %w", err)
		}
		uid, uidErr := strconv.Atoi(postgres.Uid)
		gid, gidErr := strconv.Atoi(postgres.Gid)
		if err := errors.Join(uidErr, gidErr, os.Chown(dir, uid, gid)); err != nil {
			return nil, err
		}
		as = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	}
	command := func(ctx context.Context, name string, args ...string) *exec.Cmd {
		c := exec.CommandContext(ctx, filepath.Join(set.postgres, name), args...)
		c.SysProcAttr, c.Dir = as, dir
		return c
	}
	cluster := filepath.Join(dir, "cluster")
	if out, err := command(ctx, "initdb", "-D", cluster, "-U", "burst", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	server := command(context.WithoutCancel(ctx), "postgres", "-D", cluster, "-k", dir, "-c", "listen_addresses=")
	if err := server.Start(); err != nil {
		return nil, err
	}
	return func() error {
		if err := server.Process.Signal(os.Interrupt); err != nil { // a fast shutdown
			return err
		}
		return server.Wait()
	}, nil
}

// postgres writes one row a request, with everything in it: checks, flags and scores are made before, so that one INSERT
// is all that it costs.
type postgres struct {
	studies *study.Studies
	pool    *pgxpool.Pool
}

const (
	createTable = `CREATE TABLE IF NOT EXISTS responses (
	id text PRIMARY KEY, study text NOT NULL, patient_id text NOT NULL, visit_id text NOT NULL, instrument text NOT NULL, version text NOT NULL,
	authored text NOT NULL, received_at timestamptz NOT NULL, sha256 text NOT NULL, original text NOT NULL,
	answers jsonb NOT NULL, flags jsonb NOT NULL, warnings jsonb NOT NULL, adverse_events text[] NOT NULL, scores jsonb NOT NULL, total bigint)`
	insert = `INSERT INTO responses VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,$16) ON CONFLICT (id) DO NOTHING`
)

func openPostgres(ctx context.Context, dir string, studies *study.Studies) (*postgres, error) {
	config, err := pgxpool.ParseConfig(fmt.Sprintf("host=%s user=burst dbname=postgres", socket(dir)))
	if err != nil {
		return nil, err
	}
	config.MaxConns, config.MinConns = postgresConnections, postgresConnections
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		_, err := pool.Exec(ctx, createTable)
		if err == nil {
			return &postgres{studies, pool}, nil
		}
		if time.Now().After(deadline) {
			pool.Close()
			return nil, err
		}
	}
}

func (p *postgres) insert(ctx context.Context, r tasks.QuestionnaireResponse, sha256 string) error {
	made, err := tasks.QuestionnaireTask{Studies: p.studies, Response: r}.Execute(ctx)
	if err != nil {
		return err
	}
	result := made.(tasks.QuestionnaireResult)
	columns := make([][]byte, 4)
	for i, v := range []any{r.Answers, r.Flags, r.Warnings, result} {
		if columns[i], err = json.Marshal(v); err != nil {
			return err
		}
	}
	events := r.AdverseEventIDs()
	if events == nil {
		events = []string{}
	}
	_, err = p.pool.Exec(ctx, insert, r.ID, r.Study, r.PatientID, r.VisitID, r.Rule.ID, r.Rule.Version, r.Authored, time.Now(), sha256, r.Original,
		columns[0], columns[1], columns[2], events, columns[3], totalOf(result))
	return err
}

func (p *postgres) routes(log *slog.Logger) http.Handler {
	e := newGin(log)
	e.POST(path, func(c *gin.Context) {
		r, sha256, ok := read(c, p.studies)
		if !ok {
			return
		}
		if err := p.insert(c.Request.Context(), r, sha256); err != nil {
			log.Error("insert", "err", err)
			c.Header("Retry-After", "1")
			c.String(http.StatusServiceUnavailable, "%v", err)
			return
		}
		answerTo(r, sha256).write(c)
	})
	e.GET("/stored", func(c *gin.Context) {
		got, err := p.stored(c.Request.Context())
		if err != nil {
			c.String(http.StatusInternalServerError, "%v", err)
			return
		}
		c.JSON(http.StatusOK, got)
	})
	return e
}

func (p *postgres) stored(ctx context.Context) (got scoredPeer, err error) {
	rows, err := p.pool.Query(ctx, `SELECT id, sha256, total, adverse_events, received_at FROM responses`)
	if err != nil {
		return got, err
	}
	defer rows.Close()
	for rows.Next() {
		var one storedResponse
		var events []string
		var at time.Time
		if err := rows.Scan(&one.ID, &one.SHA256, &one.Total, &events, &at); err != nil {
			return got, err
		}
		got.Responses = append(got.Responses, one)
		for range events {
			got.AdverseEvents = append(got.AdverseEvents, one.ID)
		}
		if at.After(got.LastScore) {
			got.LastScore = at
		}
	}
	return got, rows.Err()
}
