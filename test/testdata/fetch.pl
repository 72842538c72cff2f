# Fetches all messages of a maildrop with Net::POP3 into the files 1, 2, ...
#
# Arguments: host, port, security, file of the authority to trust, user, folder.
# The password is the first line of standard input.

use strict;
use warnings;
use Net::POP3;

my ($host, $port, $security, $ca, $user, $folder) = @ARGV;
chomp(my $password = <STDIN>);

my @trust = (SSL_ca_file => $ca, SSL_verify_mode => 1, SSL_verifycn_name => $host);
my $pop = Net::POP3->new($host, Port => $port, Timeout => 60,
    $security eq 'TLS' ? (SSL => 1, @trust) : ()) or die "connect: $@\n";
if ($security eq 'STLS') {
    $pop->starttls(@trust) or die 'STLS: ' . $pop->message;
}
my $messages = $security eq 'plaintext' ? $pop->apop($user, $password) : $pop->login($user, $password);
defined $messages or die 'login: ' . $pop->message;

for my $i (1 .. $messages) {
    open my $file, '>:raw', "$folder/$i" or die "$folder/$i: $!\n";
    $pop->get($i, $file) or die "RETR $i: " . $pop->message;
    close $file or die "$folder/$i: $!\n";
}
$pop->quit or die 'QUIT: ' . $pop->message;
