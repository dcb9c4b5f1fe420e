// pgx v5, driven like the other clients of the tests: a JSON object as the argument, one JSON line
// as the answer. The keys of the argument are the fields of Target in tests/ground/clients.
package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// rowBytes is the size of one row of pump.
const rowBytes = 64 * 1024

const sleepQuery = "select pg_sleep(60)"

// target is where and how to connect, and what to do there.
type target struct {
	Action         string  `json:"action"`
	Host           string  `json:"host"`
	Port           int     `json:"port"`
	CA             *string `json:"ca"`
	User           *string `json:"user"`
	Password       *string `json:"password"`
	Dbname         *string `json:"dbname"`
	Verify         bool    `json:"verify"`
	Sslmode        *string `json:"sslmode"`
	Sslnegotiation *string `json:"sslnegotiation"`
	ChannelBinding *string `json:"channel_binding"`
	ClientCert     *string `json:"client_cert"`
	ClientKey      *string `json:"client_key"`
	Sni            bool    `json:"sni"`
	Mib            int     `json:"mib"`
	Timeout        int     `json:"timeout"`
}

type answer map[string]any

func connect(ctx context.Context, t target) (*pgx.Conn, error) {
	mode := "verify-full"
	if !t.Verify {
		mode = "require"
	}
	if t.Sslmode != nil {
		mode = *t.Sslmode
	}
	var info strings.Builder
	fmt.Fprintf(&info, "host='%s' port=%d sslmode=%s connect_timeout=20", t.Host, t.Port, mode)
	if !t.Sni {
		info.WriteString(" sslsni=0")
	}
	for key, value := range map[string]*string{
		"user": t.User, "password": t.Password, "dbname": t.Dbname, "sslrootcert": t.CA,
		"sslnegotiation": t.Sslnegotiation, "channel_binding": t.ChannelBinding,
		"sslcert": t.ClientCert, "sslkey": t.ClientKey,
	} {
		if value != nil {
			fmt.Fprintf(&info, " %s='%s'", key, *value)
		}
	}
	return pgx.Connect(ctx, info.String())
}

// identity asks the server for its name, and the connection for the TLS version and the serial
// number of the server's certificate.
func identity(ctx context.Context, conn *pgx.Conn) (answer, error) {
	var who string
	if err := conn.QueryRow(ctx, "show cluster_name").Scan(&who); err != nil {
		return nil, err
	}
	result := answer{"who": who, "tls": nil, "serial": nil}
	if secured, ok := conn.PgConn().Conn().(*tls.Conn); ok {
		state := secured.ConnectionState()
		result["tls"] = strings.ReplaceAll(tls.VersionName(state.Version), "TLS ", "TLSv")
		result["serial"] = state.PeerCertificates[0].SerialNumber.Text(16)
	}
	return result, nil
}

func whoami(ctx context.Context, t target) (answer, error) {
	conn, err := connect(ctx, t)
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	return identity(ctx, conn)
}

func idle(ctx context.Context, t target) (answer, error) {
	conn, err := connect(ctx, t)
	if err != nil {
		return nil, err
	}
	fmt.Println("ready")
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		return nil, err
	}
	return identity(ctx, conn)
}

func pump(ctx context.Context, t target) (answer, error) {
	conn, err := connect(ctx, t)
	if err != nil {
		return nil, err
	}
	if _, err := conn.Exec(ctx, "create temp table pump (n int, chunk text)"); err != nil {
		return nil, err
	}
	sent, received := sha256.New(), sha256.New()
	count, n := t.Mib*1024*1024/rowBytes, 0
	source := pgx.CopyFromFunc(func() ([]any, error) {
		if n == count {
			return nil, nil
		}
		raw := make([]byte, rowBytes/2)
		rand.Read(raw)
		row := hex.EncodeToString(raw)
		sent.Write([]byte(row))
		n++
		return []any{n, row}, nil
	})
	if _, err := conn.CopyFrom(ctx, pgx.Identifier{"pump"}, []string{"n", "chunk"}, source); err != nil {
		return nil, err
	}
	var stored string
	sum := "select encode(sha256(string_agg(chunk, '' order by n)::bytea), 'hex') from pump"
	if err := conn.QueryRow(ctx, sum).Scan(&stored); err != nil {
		return nil, err
	}
	rows, err := conn.Query(ctx, "select chunk from pump order by n")
	if err != nil {
		return nil, err
	}
	bytes := 0
	for rows.Next() {
		var row string
		if err := rows.Scan(&row); err != nil {
			return nil, err
		}
		received.Write([]byte(row))
		bytes += len(row)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	out, back := hex.EncodeToString(sent.Sum(nil)), hex.EncodeToString(received.Sum(nil))
	if out != back || out != stored || bytes != count*rowBytes {
		return nil, errors.New("the data changed on the way")
	}
	result, err := identity(ctx, conn)
	if err == nil {
		result["bytes"], result["sha256"] = bytes, out
	}
	return result, err
}

func sleepCancel(ctx context.Context, t target) (answer, error) {
	watcher, err := connect(ctx, t)
	if err != nil {
		return nil, err
	}
	sleeper, err := connect(ctx, t)
	if err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() {
		// The simple protocol: the server then shows the query as it was written.
		_, err := sleeper.Exec(ctx, sleepQuery, pgx.QueryExecModeSimpleProtocol)
		ended <- err
	}()
	const sleeping = "select count(*) from pg_stat_activity where state = 'active' and query = $1 and pid = $2"
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		var count int
		if err := watcher.QueryRow(ctx, sleeping, sleepQuery, sleeper.PgConn().PID()).Scan(&count); err != nil {
			return nil, err
		}
		if count == 1 {
			break
		}
		if time.Now().After(deadline) {
			return nil, errors.New("after 20 s still not: sleeping")
		}
	}
	timeout := time.Duration(t.Timeout) * time.Second
	limited, stop := context.WithTimeout(ctx, timeout)
	defer stop()
	result := answer{"cancelled": false, "transport": "as the session"}
	if err := sleeper.PgConn().CancelRequest(limited); err != nil {
		result["detail"] = err.Error()
	}
	select {
	case err := <-ended:
		var refused *pgconn.PgError
		result["cancelled"] = errors.As(err, &refused) && refused.Code == "57014"
		result["detail"] = fmt.Sprint(err)
	case <-limited.Done():
	}
	return result, nil
}

func act() (answer, error) {
	var t target
	decoder := json.NewDecoder(strings.NewReader(os.Args[1]))
	if err := decoder.Decode(&t); err != nil {
		return nil, err
	}
	actions := map[string]func(context.Context, target) (answer, error){
		"whoami": whoami, "idle": idle, "pump": pump, "sleep_cancel": sleepCancel,
	}
	action, known := actions[t.Action]
	if !known {
		return nil, fmt.Errorf("no such action: %q", t.Action)
	}
	return action(context.Background(), t)
}

func main() {
	result, err := act()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		result = answer{"ok": false, "error": err.Error()}
	} else {
		result["ok"] = true
	}
	result["client"] = "pgx"
	line, err := json.Marshal(result)
	if err != nil {
		panic(err)
	}
	fmt.Println(string(line))
	if result["ok"] != true {
		os.Exit(1)
	}
}
