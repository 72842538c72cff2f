// Command dex is the identity provider of sidepop's tests: dex, as a library, with
// everything in memory, one user, and clients with one secret. It is a module of its
// own, so that nothing of it becomes a part of sidepop.
//
// It is used as: dex ADDRESS EMAIL PASSWORD SECRET CLIENT... Its issuer is
// http://ADDRESS. Every start makes other keys.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/dexidp/dex/server"
	"github.com/dexidp/dex/server/signer"
	"github.com/dexidp/dex/server/tokens"
	"github.com/dexidp/dex/storage"
	"github.com/dexidp/dex/storage/memory"
	"golang.org/x/crypto/bcrypt"
)

const (
	arguments = 6 // at least, the program's name included

	// tokenTime is far longer than any test.
	tokenTime = time.Hour

	// local is dex's own users, as it calls what it asks for passwords.
	local = "local"

	// headerTime keeps a connection that says nothing from staying.
	headerTime = 10 * time.Second
)

func main() {
	if len(os.Args) < arguments {
		fmt.Fprintln(os.Stderr, "usage: dex ADDRESS EMAIL PASSWORD SECRET CLIENT...")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5:]); err != nil {
		fmt.Fprintln(os.Stderr, "dex:", err)
		os.Exit(1)
	}
}

func run(address, email, password, secret string, names []string) error {
	ctx, log := context.Background(), slog.New(slog.DiscardHandler)
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.DefaultCost)
	if err != nil {
		return err
	}
	s := memory.New(log)
	s = storage.WithStaticPasswords(s, []storage.Password{
		{Email: email, Hash: hash, Username: email, PreferredUsername: email, UserID: "1"},
	}, log)
	var clients []storage.Client
	for _, name := range names {
		clients = append(clients, storage.Client{ID: name, Secret: secret, Name: name})
	}
	s = storage.WithStaticClients(s, clients)
	s = storage.WithStaticConnectors(s, []storage.Connector{{ID: local, Type: local, Name: local}})

	keys := signer.LocalConfig{KeysRotationPeriod: tokenTime.String()}
	sign, err := keys.Open(ctx, s, tokenTime, time.Now, log)
	if err != nil {
		return err
	}
	refresh, err := tokens.NewRefreshTokenPolicy(log, false, "", tokenTime.String(), "")
	if err != nil {
		return err
	}
	handler, err := server.NewServer(ctx, server.Config{
		Issuer: "http://" + address, Storage: s, Signer: sign, Logger: log,
		PasswordConnector: local, SkipApprovalScreen: true,
		IDTokensValidFor: tokenTime, RefreshTokenPolicy: refresh,
	})
	if err != nil {
		return err
	}
	return (&http.Server{Addr: address, Handler: handler, ReadHeaderTimeout: headerTime}).ListenAndServe()
}
