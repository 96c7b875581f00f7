package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"time"
)

const (
	// leadEvery is how often a process asks whether it may lead, and one that leads whether it still does.
	leadEvery = 2 * time.Second
	// leadTimeout bounds each of these questions.
	leadTimeout = 5 * time.Second
)

// Lead calls run while no other process that shares the database is in a Lead of the same name, and again after it
// lost that, until ctx ends or run returns by itself. The context of run ends when the database cannot be reached; a
// machine that vanished is followed after some 15 s. For moments two processes may believe to lead: it saves doing
// things twice, and nothing may break when they are. A SQLite file has one process, which leads.
func (s *Store) Lead(ctx context.Context, name string, run func(context.Context) error) error {
	if s.dialect != postgres {
		return run(ctx)
	}
	ticker := time.NewTicker(leadEvery)
	defer ticker.Stop()
	for {
		if conn := s.tryLead(ctx, name); conn != nil {
			kept, err := s.keepLead(ctx, conn, name, run)
			if kept || ctx.Err() != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// tryLead returns the connection that holds the lock of the name, or nil. The lock is that of the session: it ends
// with the connection, however this process ends.
func (s *Store) tryLead(ctx context.Context, name string) *sql.Conn {
	ctx, cancel := context.WithTimeout(ctx, leadTimeout)
	defer cancel()
	conn, err := s.write.Conn(ctx)
	if err != nil {
		return nil // asked again, and every other part of the farm says it
	}
	locked := false
	// The server should notice soon when this machine vanishes, and not after its usual two hours.
	_, err = conn.ExecContext(ctx, `SELECT set_config('tcp_keepalives_idle', '5', false), set_config('tcp_keepalives_interval', '5', false),
		set_config('tcp_keepalives_count', '2', false)`)
	if err == nil {
		err = conn.QueryRowContext(ctx, `SELECT pg_try_advisory_lock(hashtext('modfarm lead'), hashtext($1))`, name).Scan(&locked)
	}
	if err != nil || !locked {
		_ = conn.Close() // what is wrong with it shows at its next use
		return nil
	}
	return conn
}

// keepLead calls run until it returns, or until the lock is lost; kept says that it was not.
func (s *Store) keepLead(ctx context.Context, conn *sql.Conn, name string, run func(context.Context) error) (kept bool, err error) {
	leading, end := context.WithCancel(ctx)
	lost := make(chan bool, 1)
	go func() {
		defer end()
		lost <- !holds(leading, conn)
	}()
	err = run(leading)
	end()
	kept = !<-lost
	unlock, cancel := context.WithTimeout(context.WithoutCancel(ctx), leadTimeout)
	defer cancel()
	if _, uerr := conn.ExecContext(unlock, `SELECT pg_advisory_unlock(hashtext('modfarm lead'), hashtext($1))`, name); uerr != nil {
		_ = conn.Raw(func(any) error { return driver.ErrBadConn }) // closes it, and so unlocks
	}
	_ = conn.Close() // it is back in the pool, or closed already
	return kept, err
}

// holds returns true when ctx ends, and false when the connection is gone before.
func holds(ctx context.Context, conn *sql.Conn) bool {
	ticker := time.NewTicker(leadEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return true
		case <-ticker.C:
		}
		ask, cancel := context.WithTimeout(context.WithoutCancel(ctx), leadTimeout)
		_, err := conn.ExecContext(ask, `SELECT 1`)
		cancel()
		if err != nil {
			return false
		}
	}
}
