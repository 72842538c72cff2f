package config

import (
	"slices"

	"sidepop/index"
	"sidepop/pop3"
)

// A key is one key of the file and what takes its value.
type key struct {
	name string // with its table
	set  setter
}

// keys is every key there is, in the order of the manual page.
func (c *Config) keys() []key {
	return slices.Concat(c.serverKeys(), c.listenKeys(), c.tlsKeys(), c.authKeys(), c.oauthKeys(),
		c.popKeys(), c.indexKeys(), c.limitsKeys(), c.logKeys())
}

func (c *Config) serverKeys() []key {
	return []key{
		{"hostname", hostname(&c.Hostname)},
		{"user", userName(&c.User)},
		{"runtime_dir", folder(&c.Runtime, maxRuntime)},
		{"mailbox", mailbox(&c.Mailbox)},
		{"mail_user", userName(&c.MailUser)},
		{"minimum_uid", number(&c.MinUID, 1, maxUID)},
		{"uidl", choice(&c.UIDL, map[string]index.Scheme{
			"sidepop": index.SchemeOwn,
			"md5":     index.SchemeMD5,
			"courier": index.SchemeCourier,
		})},
		{"x_uidl", truth(&c.XUIDL)},
		{"uidl_lists_before", moment(&c.ListsBefore)},
	}
}

func (c *Config) listenKeys() []key {
	return []key{
		{"listen.pop3", addresses(&c.Listen.POP3)},
		{"listen.pop3s", addresses(&c.Listen.POP3S)},
		{"listen.pop3_legacy", addresses(&c.Listen.POP3Legacy)},
		{"listen.pop3s_legacy", addresses(&c.Listen.POP3SLegacy)},
		{"listen.metrics", addresses(&c.Listen.Metrics)},
		{"listen.proxy_networks", prefixes(&c.Listen.Proxies)},
		{"listen.proxy_certificates", truth(&c.Listen.ProxyCertificates)},
	}
}

func (c *Config) tlsKeys() []key {
	return []key{
		{"tls.certificate", path(&c.TLS.Certificate)},
		{"tls.key", path(&c.TLS.Key)},
		{"tls.certificates", certificates(&c.TLS.Certificates)},
		{"tls.profile", text(&c.TLS.Profile, Profiles)},
		{"tls.minimum_version", choice(&c.TLS.Minimum, tlsVersions)},
		{"tls.curves", curves(&c.TLS.Curves)},
		{"tls.client_ca", path(&c.TLS.ClientCA)},
	}
}

func (c *Config) authKeys() []key {
	return []key{
		{"auth.sources", words(&c.Auth.Sources, Sources)},
		{"auth.passwd_file", passwdFile(&c.Auth.PasswdFile)},
		{"auth.passwd_domains", domains(&c.Auth.PasswdDomains)},
		{"auth.pam_service", service(&c.Auth.PAMService)},
		{"auth.pam_helper", path(&c.Auth.PAMHelper)},
		{"auth.pam_domains", domains(&c.Auth.PAMDomains)},
		{"auth.pam_session", truth(&c.Auth.PAMSession)},
		{"auth.fold_case", truth(&c.Auth.FoldCase)},
		{"auth.postfix", paths(&c.Auth.Postfix)},
		{"auth.password_maps", tables(&c.Auth.PasswordMaps)},
		{"auth.virtual_domains", domains(&c.Auth.VirtualDomains)},
		{"auth.allow", networks(&c.Auth.Allow)},
		{"auth.deny", networks(&c.Auth.Deny)},
		{"auth.user_networks", userNetworks(&c.Auth.UserNetworks)},
		{"auth.cache_time", duration(&c.Auth.CacheTime, 0, maxCacheTime)},
		{"auth.failure_delay", duration(&c.Auth.FailureDelay, minFailureDelay, maxFailureDelay)},
		{"auth.network", truth(&c.Auth.Network)},
		{"auth.plaintext", truth(&c.Auth.Plaintext)},
		{"auth.apop", truth(&c.Auth.APOP)},
		{"auth.cram_md5", truth(&c.Auth.CRAMMD5)},
		{"auth.scram", choice(&c.Auth.SCRAM, map[string]SCRAM{
			"auto":   SCRAMAuto,
			"always": SCRAMAlways,
			"never":  SCRAMNever,
		})},
		{"auth.channel_binding", truth(&c.Auth.Binding)},
		{"auth.master_users", path(&c.Auth.MasterUsers)},
		{"auth.certificate_users", path(&c.Auth.CertificateUsers)},
	}
}

func (c *Config) oauthKeys() []key {
	return []key{
		{"auth.oauth_issuer", word(&c.Auth.OAuth.Issuer, `the issuer as its tokens name it, such as "https://id.example.org"`)},
		{"auth.oauth_audience", list(&c.Auth.OAuth.Audience, `a list of those whom tokens are for, such as ["mail"]`, func(s string) bool { return s != "" })},
		{"auth.oauth_jwks", jwks(&c.Auth.OAuth)},
		{"auth.oauth_introspection", address(&c.Auth.OAuth.IntrospectionURL)},
		{"auth.oauth_client_id", word(&c.Auth.OAuth.ClientID, "the id of a client that the authorization server lets ask")},
		{"auth.oauth_client_secret_file", path(&c.Auth.OAuth.ClientSecretFile)},
		{"auth.oauth_user_claim", word(&c.Auth.OAuth.UserClaim, `the name of a claim, such as "email"`)},
		{"auth.oauth_scope", scope(&c.Auth.OAuth.Scope)},
	}
}

func (c *Config) popKeys() []key {
	return []key{
		{"pop3.utf8_headers", choice(&c.POP3.UTF8Headers, map[string]pop3.UTF8Policy{
			"send":   pop3.SendUTF8,
			"refuse": pop3.RefuseUTF8,
		})},
		{"pop3.expire", expire(&c.POP3.Expire)},
	}
}

func (c *Config) indexKeys() []key {
	return []key{
		{"index.state_dir", folder(&c.Index.StateDir, maxStateDir)},
		{"index.watch", choice(&c.Index.Watch, map[string]index.Watch{
			"all":    index.WatchAll,
			"active": index.WatchActive,
			"none":   index.WatchNone,
		})},
		{"index.commit_delay", duration(&c.Index.CommitDelay, minCommitDelay, maxCommitDelay)},
		{"index.commit_count", number(&c.Index.CommitCount, minCommitCount, maxCommitCount)},
		{"index.keep_time", duration(&c.Index.KeepTime, minKeep, day)},
		{"index.mark_seen", truth(&c.Index.MarkSeen)},
	}
}

func (c *Config) limitsKeys() []key {
	return []key{
		{"limits.line", number(&c.Limits.Line, minLine, maxLine)},
		{"limits.sasl_line", number(&c.Limits.SASLLine, minSASLLine, maxSASLLine)},
		{"limits.login_time", duration(&c.Limits.Login, minWait, day)},
		{"limits.idle_time", duration(&c.Limits.Idle, pop3.MinIdle, day)},
		{"limits.write_time", duration(&c.Limits.Write, minWait, day)},
		{"limits.bad_commands", number(&c.Limits.BadCommands, 1, maxCount)},
		{"limits.login_failures", number(&c.Limits.LoginFailures, 1, maxCount)},
		{"limits.connections", number(&c.Limits.Connections, 1, maxConnections)},
		{"limits.connections_per_address", number(&c.Limits.PerAddress, 1, maxConnections)},
		{"limits.sessions_per_user", number(&c.Limits.SessionsPerUser, 1, maxCount)},
		{"limits.login_delay", duration(&c.Limits.LoginDelay, 0, day)},
		{"limits.shutdown_time", duration(&c.Limits.ShutdownTime, 0, maxShutdown)},
	}
}

func (c *Config) logKeys() []key {
	return []key{
		{"log.level", text(&c.Log.Level, Levels)},
		{"log.format", text(&c.Log.Format, Formats)},
	}
}
