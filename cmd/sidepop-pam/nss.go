//go:build cgo && linux

package main

/*
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>

// find is getpwnam_r without a pointer that C would store in Go's memory.
static int find(const char *name, struct passwd *entry, char *buffer, size_t size, int *found)
{
	struct passwd *result = NULL;
	int error = getpwnam_r(name, entry, buffer, size, &result);

	*found = result != NULL;
	return error;
}
*/
import "C"

import (
	"fmt"
	"syscall"
	"unsafe"

	"sidepop/auth/helper"
)

const (
	// entryOctets is what an entry of the system's accounts has room for at
	// first, and longestEntry at most. glibc asks for 1 KiB.
	entryOctets  = 1 << 10
	longestEntry = 1 << 20

	// usualGroups is how many groups an account has room for at first.
	usualGroups = 64
)

// lookup finds the account of a user with NSS. Its error is a fault, where nobody
// knows whether there is such a user. It is not os/user's, which takes ENOENT for
// an unknown user: glibc says so with no error, and a service that is down with that.
func lookup(user string) (account helper.Account, found bool, err error) {
	name := C.CString(user)
	defer C.free(unsafe.Pointer(name))
	for size := C.size_t(entryOctets); ; size *= 4 {
		// In C's memory, because the entry points into the buffer.
		buffer := C.malloc(size)
		var entry C.struct_passwd
		var exists C.int
		errno := syscall.Errno(C.find(name, &entry, (*C.char)(buffer), size, &exists))
		if errno == 0 && exists != 0 {
			account = helper.Account{Name: C.GoString(entry.pw_name), UID: uint32(entry.pw_uid), GID: uint32(entry.pw_gid),
				Home: C.GoString(entry.pw_dir)}
		}
		C.free(buffer)
		switch {
		case (errno == syscall.ERANGE || errno == syscall.EINTR) && size < longestEntry:
			continue
		case errno != 0:
			return helper.Account{}, false, fmt.Errorf("the system's accounts (NSS) cannot be searched for %q: %w", user, errno)
		case exists == 0:
			return helper.Account{}, false, nil
		}
		account.Groups = groups(account.Name, account.GID)
		return account, true, nil
	}
}

// groups gives the groups of a user, the primary one left out. getgrouplist(3)
// has no errors: it gives the groups of those services that answer.
func groups(user string, primary uint32) []uint32 {
	name := C.CString(user)
	defer C.free(unsafe.Pointer(name))
	list := make([]C.gid_t, usualGroups)
	n := C.int(len(list))
	for C.getgrouplist(name, C.gid_t(primary), &list[0], &n) < 0 && int(n) > len(list) {
		list = make([]C.gid_t, n)
	}
	var found []uint32
	for _, g := range list[:min(int(n), len(list))] {
		if uint32(g) != primary {
			found = append(found, uint32(g))
		}
	}
	return found
}
