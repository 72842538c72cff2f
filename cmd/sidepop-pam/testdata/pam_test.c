/*
 * A PAM module that misbehaves as its first argument says, for the tests of
 * sidepop-pam. All of its functions do the same.
 */
#include <security/pam_appl.h>
#include <security/pam_modules.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

/* ask holds a conversation of one message. */
static int ask(pam_handle_t *h, int style, const char *text, char **answer)
{
	const struct pam_conv *conv;
	const struct pam_message message = { style, text }, *messages = &message;
	struct pam_response *response = NULL;
	int code = pam_get_item(h, PAM_CONV, (const void **)&conv);

	if (code == PAM_SUCCESS)
		code = conv->conv(1, &messages, &response, conv->appdata_ptr);
	if (code == PAM_SUCCESS && answer)
		*answer = response->resp;
	return code;
}

static void tell(pam_handle_t *h, const char *name, int item)
{
	const void *value = NULL;
	char text[300];

	pam_get_item(h, item, &value);
	snprintf(text, sizeof text, "%s=%s", name, value ? (const char *)value : "(unset)");
	ask(h, PAM_TEXT_INFO, text, NULL);
}

static int act(pam_handle_t *h, int argc, const char **argv)
{
	const char *what = argc > 0 ? argv[0] : "", *with = argc > 1 ? argv[1] : "";
	const struct pam_conv *conv;
	char *password = NULL;

	if (!strcmp(what, "code"))
		return atoi(with);
	if (!strcmp(what, "crash"))
		*(volatile int *)8 = 1;
	if (!strcmp(what, "null-response")) {
		const struct pam_message message = { PAM_PROMPT_ECHO_OFF, "Password: " }, *messages = &message;

		pam_get_item(h, PAM_CONV, (const void **)&conv);
		return conv->conv(1, &messages, NULL, conv->appdata_ptr);
	}
	if (!strcmp(what, "no-messages")) {
		struct pam_response *response = NULL;

		pam_get_item(h, PAM_CONV, (const void **)&conv);
		return conv->conv(0, NULL, &response, conv->appdata_ptr);
	}
	if (!strcmp(what, "exit"))
		exit(0);
	if (!strcmp(what, "sleep")) {
		sleep(atoi(with));
		return PAM_IGNORE;
	}
	if (!strcmp(what, "ask"))
		return ask(h, PAM_PROMPT_ECHO_OFF, with, &password);
	if (!strcmp(what, "ask-echo"))
		return ask(h, PAM_PROMPT_ECHO_ON, with, &password);
	if (!strcmp(what, "ask-binary"))
		return ask(h, PAM_BINARY_PROMPT, with, &password);
	if (!strcmp(what, "repeat")) {
		if (ask(h, PAM_PROMPT_ECHO_OFF, "Password: ", &password) == PAM_SUCCESS)
			ask(h, PAM_ERROR_MSG, password, NULL);
		return PAM_AUTH_ERR;
	}
	if (!strcmp(what, "flood")) {
		for (int i = 0; i < 100; i++)
			ask(h, PAM_TEXT_INFO, "\033[2J a long message \001", NULL);
		return PAM_AUTH_ERR;
	}
	if (!strcmp(what, "rename"))
		return pam_set_item(h, PAM_USER, with);
	if (!strcmp(what, "stdout")) {
		printf("\001\001 written to standard output\n");
		fflush(stdout);
		return PAM_IGNORE;
	}
	if (!strcmp(what, "items")) {
		tell(h, "service", PAM_SERVICE);
		tell(h, "user", PAM_USER);
		tell(h, "rhost", PAM_RHOST);
		tell(h, "ruser", PAM_RUSER);
		tell(h, "tty", PAM_TTY);
		return PAM_IGNORE;
	}
	if (!strcmp(what, "leak")) {
		char *lost = malloc(1 << 20);

		memset(lost, 1, 1 << 20);
		return PAM_IGNORE;
	}
	if (!strcmp(what, "become"))
		return setgid(atoi(with)) || setuid(atoi(with)) ? PAM_SYSTEM_ERR : PAM_IGNORE;
	return PAM_IGNORE;
}

int pam_sm_authenticate(pam_handle_t *h, int flags, int argc, const char **argv) { return act(h, argc, argv); }
int pam_sm_setcred(pam_handle_t *h, int flags, int argc, const char **argv) { return act(h, argc, argv); }
int pam_sm_acct_mgmt(pam_handle_t *h, int flags, int argc, const char **argv) { return act(h, argc, argv); }
int pam_sm_open_session(pam_handle_t *h, int flags, int argc, const char **argv) { return act(h, argc, argv); }
int pam_sm_close_session(pam_handle_t *h, int flags, int argc, const char **argv) { return act(h, argc, argv); }
