/* A service of NSS that knows nobody, and cannot even say that while the file
 * /run/nss-down is there: as if the socket of its daemon were missing. */
#include <errno.h>
#include <nss.h>
#include <pwd.h>
#include <unistd.h>

enum nss_status _nss_sidepoptest_getpwnam_r(const char *name, struct passwd *entry, char *buffer, size_t size, int *error)
{
	if (access("/run/nss-down", F_OK) == 0) {
		*error = ENOENT;
		return NSS_STATUS_UNAVAIL;
	}
	return NSS_STATUS_NOTFOUND;
}
