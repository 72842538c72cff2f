package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
)

const (
	manyUsers     = 100 // who log in at the same time; 10 of 1000 idle sessions each
	manyMessages  = 10  // of each of them
	smallSize     = 2000
	mixedMedian   = 12_000 // bytes
	mixedMean     = 60_000
	smallUser     = "small"
	mixedUser     = "mixed"
	largeUser     = "large"
	removeUser    = "remove"
	pollUserStart = "poll"
)

func manyUser(i int) string        { return fmt.Sprintf("user%02d", i%manyUsers) }
func pollUser(messages int) string { return pollUserStart + strconv.Itoa(messages) }

// users are all accounts, the same at every server.
func (b *bench) users() []string {
	users := []string{smallUser, mixedUser, largeUser, removeUser}
	for i := range manyUsers {
		users = append(users, manyUser(i))
	}
	for _, n := range b.sizes {
		users = append(users, pollUser(n))
	}
	return users
}

// fill makes the mail of all servers, which are not running: everything was
// seen in earlier sessions.
func (b *bench) fill(ctx context.Context, servers []*server) error {
	errs := make([]error, len(servers))
	var tasks sync.WaitGroup
	for i, s := range servers {
		tasks.Go(func() { errs[i] = b.fillServer(ctx, s) })
	}
	tasks.Wait()
	for i, err := range errs {
		if err != nil {
			return fmt.Errorf("mail of %s: %w", servers[i].name, err)
		}
	}
	return nil
}

func (b *bench) fillServer(ctx context.Context, s *server) error {
	alike := func(user string, n, size int) error {
		for range n {
			if err := errors.Join(ctx.Err(), s.boxes[user].keep(size)); err != nil {
				return err
			}
		}
		return nil
	}
	for i := range manyUsers {
		if err := alike(manyUser(i), manyMessages, smallSize); err != nil {
			return err
		}
	}
	for _, n := range b.sizes {
		if err := alike(pollUser(n), n, smallSize); err != nil {
			return err
		}
	}
	if err := alike(smallUser, b.small, smallSize); err != nil {
		return err
	}
	for _, size := range mixedSizes(b.mixed, mixedMedian, mixedMean) {
		if err := s.boxes[mixedUser].keep(size); err != nil {
			return err
		}
	}
	return alike(largeUser, 1, b.large)
}
