package main

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sidepop/cmd/sidepop/internal/config"
	"sidepop/cmd/sidepop/internal/control"
)

const (
	// completionTime is how long a person waits for a key to do something.
	completionTime = time.Second

	// maxChoices is how many users are offered: more are of no help, and shells
	// take seconds over them.
	maxChoices = 1000
)

// shells are those that there are completions for.
var shells = []string{"bash", "zsh", "fish"}

// completionCommand is `sidepop completion`.
func completionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "completion {bash | zsh | fish}",
		Short: "Write a completion script for a shell",
		Long: `Write a completion script for a shell: commands, options, files and, for who may
ask the server that runs, users.`,
		ValidArgs: shells,
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		RunE: running(func(cmd *cobra.Command, args []string) error {
			root, out := cmd.Root(), cmd.OutOrStdout()
			switch args[0] {
			case "zsh":
				return root.GenZshCompletion(out)
			case "fish":
				return root.GenFishCompletion(out, true)
			}
			var script bytes.Buffer
			if err := root.GenBashCompletionV2(&script, true); err != nil {
				return err
			}
			// Bash ends words at "@", cobra's script knows of "=" and ":" alone.
			text := strings.ReplaceAll(script.String(), "_init_completion -n =:", "_init_completion -n =:@")
			_, err := fmt.Fprint(out, text, bashAddresses)
			return err
		}),
	}
}

// bashAddresses completes names with "@" in bash, which replaces only what comes
// behind the last one.
//
//go:embed completion.bash
var bashAddresses string

// addCompletions says how the arguments of all commands are completed: nothing, but
// for these. Where something can't be found out, because of a right or a mistake,
// it is nothing too.
func addCompletions(root *cobra.Command) {
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
	flags := map[string]cobra.CompletionFunc{
		"config":  cobra.FixedCompletions(nil, cobra.ShellCompDirectiveDefault),
		"maildir": cobra.FixedCompletions(nil, cobra.ShellCompDirectiveFilterDirs),
		"scheme":  cobra.FixedCompletions(hashSchemes, cobra.ShellCompDirectiveNoFileComp),
	}
	for _, cmd := range allCommands(root) {
		for name, complete := range flags {
			if cmd.NonInheritedFlags().Lookup(name) != nil {
				_ = cmd.RegisterFlagCompletionFunc(name, complete) // it fails for a second one
			}
		}
		if strings.Contains(cmd.Use, "USER") {
			cmd.ValidArgsFunction = completeUsers
		}
	}
}

// allCommands is a command with all below it.
func allCommands(cmd *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{cmd}
	for _, child := range cmd.Commands() {
		all = append(all, allCommands(child)...)
	}
	return all
}

// completeUsers completes users, and paths of Maildirs where they begin with "/":
// those that the index of the running server knows. It answers root and the server's
// user alone. Without a server it is nothing: an index that is opened may first
// have to be put in order.
func completeUsers(cmd *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	const none = cobra.ShellCompDirectiveNoFileComp
	if len(args) > 0 && !strings.Contains(cmd.Use, "USER...") {
		return nil, none
	}
	file, err := cmd.Flags().GetString("config")
	if err != nil {
		return nil, none
	}
	c, err := config.Read(file)
	if err != nil {
		return nil, none
	}
	client, err := control.Dial(c.Index.StateDir)
	if err != nil {
		return nil, none
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), completionTime)
	defer cancel()
	known, err := client.List(ctx)
	if err != nil {
		return nil, none
	}
	var choices []cobra.Completion
	for _, info := range known {
		name := info.User
		if filepath.IsAbs(begun) {
			name = info.Path
		}
		if strings.HasPrefix(name, begun) && isWord(name) && !slices.Contains(args, name) {
			choices = append(choices, name)
		}
	}
	if len(choices) > maxChoices {
		return nil, none
	}
	return choices, none
}

// isWord says whether a name means itself in every shell. Those of users and
// folders can be anything, and completion scripts have been known to run them.
func isWord(name string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@._+/-"
	return name != "" && name[0] != '-' && strings.Trim(name, letters) == ""
}
