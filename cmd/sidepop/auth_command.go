package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"sidepop/auth"
)

func authCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "auth",
		Short: "Try a login, make a password hash",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(authTestCommand(), authHashCommand())
	return cmd
}

// hashSchemes are those of [auth.NewHash], the default first.
var hashSchemes = []string{auth.DefaultHashScheme, "argon2id", "sha512-crypt", "bcrypt", "scram-sha-256", "scram-sha-1"}

// authHashCommand is `sidepop auth hash`.
func authHashCommand() *cobra.Command {
	var scheme string
	cmd := &cobra.Command{
		Use:   "hash",
		Short: "Make a password hash for a passwd file or a password table",
		Long: `Ask for a password and print its hash, as it stands in a passwd file or a table
of auth.password_maps. Without a terminal the password is the first line of
standard input.`,
		Args: cobra.NoArgs,
		RunE: running(func(cmd *cobra.Command, _ []string) error {
			if !slices.Contains(hashSchemes, strings.ToLower(scheme)) {
				return &failure{fmt.Errorf("--scheme %q, expected one of %s", scheme, strings.Join(hashSchemes, ", ")), exitUsage}
			}
			password, err := newAsker(cmd).password("Password: ", "The same again: ")
			if err != nil {
				return err
			}
			hash, err := auth.NewHash(scheme, password)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), hash)
			return err
		}),
	}
	cmd.Flags().StringVar(&scheme, "scheme", hashSchemes[0], "the `scheme`: "+strings.Join(hashSchemes, ", "))
	return cmd
}

// asker asks for passwords.
type asker struct {
	in       *os.File
	messages io.Writer
}

func newAsker(cmd *cobra.Command) *asker { return &asker{os.Stdin, cmd.ErrOrStderr()} }

// maxPasswordLine bounds a line of standard input: a longer one is no password.
const maxPasswordLine = auth.MaxPasswordOctets + 1

// password asks on a terminal, once for each prompt, without showing what is
// typed, and takes a line where there is no terminal.
func (a *asker) password(prompts ...string) (string, error) {
	if !term.IsTerminal(int(a.in.Fd())) {
		return firstLine(a.in)
	}
	first := ""
	for i, prompt := range prompts {
		text, err := a.hidden(prompt)
		switch {
		case err != nil:
			return "", err
		case i == 0:
			first = text
		case text != first:
			return "", errors.New("the two are not the same: try again")
		}
	}
	return first, checkPassword(first)
}

// hidden reads a line of the terminal that is not shown, and has it show again
// whatever ends that.
func (a *asker) hidden(prompt string) (string, error) {
	fd := int(a.in.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return "", err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	fmt.Fprint(a.messages, prompt)
	defer fmt.Fprintln(a.messages)
	type answer struct {
		text []byte
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		text, err := term.ReadPassword(fd)
		answers <- answer{text, err}
	}()
	select {
	case got := <-answers:
		return string(got.text), got.err
	case <-ctx.Done():
		return "", errors.Join(errors.New("interrupted"), term.Restore(fd, before))
	}
}

// firstLine is a password from a pipe or a file.
func firstLine(in io.Reader) (string, error) {
	line, err := bufio.NewReader(io.LimitReader(in, maxPasswordLine+1)).ReadString('\n')
	if err != nil && err != io.EOF {
		return "", fmt.Errorf("read the password from standard input: %w", err)
	}
	line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
	return line, checkPassword(line)
}

// checkPassword refuses what can be nobody's password.
func checkPassword(password string) error {
	switch {
	case password == "":
		return errors.New("no password was given: an empty one is never right")
	case len(password) > auth.MaxPasswordOctets:
		return fmt.Errorf("the password is too long: it can have %d octets", auth.MaxPasswordOctets)
	}
	return nil
}
