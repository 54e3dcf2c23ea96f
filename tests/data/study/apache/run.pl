#!/usr/bin/perl
# Each query asks for a feature of Perl's own library.
use strict;
use warnings;

my %views = (
    digest => sub { require Digest::SHA; require Digest::MD5; Digest::SHA::sha256_hex('x') . Digest::MD5::md5_hex('x') },
    encode => sub { require Encode; unpack 'H*', Encode::encode('shiftjis', "\x{65e5}") . Encode::encode('iso-8859-15', "\x{20ac}") },
    unicode => sub { require Unicode::Normalize; require charnames; charnames::viacode(0xdf) . length Unicode::Normalize::NFKD("\x{1c6}") },
    collate => sub { require Unicode::Collate; join '', Unicode::Collate->new->sort('z', 'a', 'B') },
    regular => sub { my $t = "\x{c4}bC"; $t =~ s/\p{Lu}/_/g; $t },
    fold => sub { my $t = CORE::fc("Stra\x{df}e"); length $t },
    json => sub { require JSON::PP; JSON::PP->new->canonical->encode({ a => [1, "b"] }) },
    storable => sub { require Storable; Storable::thaw(Storable::freeze([1, 2]))->[1] },
    time => sub { require Time::Local; require POSIX; Time::Local::timegm(0, 0, 0, 1, 0, 100) . POSIX::strftime('%Y', gmtime 0) . POSIX::floor(1.5) },
    zone => sub { local $ENV{TZ} = 'Pacific/Chatham'; require POSIX; POSIX::tzset(); (localtime 0)[2] },
    piece => sub { require Time::Piece; Time::Piece->strptime('2024-02-29', '%Y-%m-%d')->yday },
    lookup => sub { require Socket; Socket::inet_ntoa(scalar gethostbyname 'localhost') . getservbyname('https', 'tcp') },
    account => sub { (getpwnam 'www-data')[7] . (getgrgid 0)[0] },
    child => sub { `id -un` },
    pipe => sub { open my $in, '-|', 'printf', '%s', '42' or return "$!"; <$in> },
    temporary => sub { require File::Temp; my $f = File::Temp->new; print $f 'x'; -e $f->filename ? 1 : 0 },
    find => sub { require File::Find; my $n = 0; File::Find::find(sub { $n++ }, '/app/www'); $n > 0 ? 'found' : 'none' },
    compress => sub { require Compress::Zlib; length Compress::Zlib::memGzip('x' x 999) },
    big => sub { require Math::BigInt; Math::BigInt->new(2)->bpow(100) },
    database => sub { require DB_File; tie my %h, 'DB_File', undef; $h{a} = 1; $h{a} },
    list => sub { require List::Util; require Scalar::Util; List::Util::sum(1, 2) . Scalar::Util::reftype([]) },
    text => sub { require Text::Wrap; require Text::ParseWords; Text::Wrap::wrap('', ' ', 'a b') . join ',', Text::ParseWords::shellwords("a 'b c'") },
    http => sub { require HTTP::Tiny; HTTP::Tiny->new->get('http://127.0.0.1:8000/')->{status} },
    threads => sub { require Config; $Config::Config{useithreads} ? do { require threads; threads->create(sub { 42 })->join } : 'none' },
    dumper => sub { require Data::Dumper; local $Data::Dumper::Indent = 0; Data::Dumper::Dumper([1]) },
    getopt => sub { require Getopt::Long; Getopt::Long::GetOptionsFromArray(['--a=1'], 'a=i' => \my $a); $a },
    benchmark => sub { require Benchmark; require Time::HiRes; Time::HiRes::time() > 0 ? 1 : 0 },
    sys => sub { require Sys::Hostname; require Sys::Syslog; length Sys::Hostname::hostname() ? 1 : 0 },
    diagnostics => sub { require diagnostics; eval { die "x\n" }; $@ },
    locale => sub { require POSIX; require I18N::Langinfo; POSIX::setlocale(&POSIX::LC_ALL, 'C.UTF-8') . I18N::Langinfo::langinfo(&I18N::Langinfo::CODESET) },
);
my $view = $views{ $ENV{QUERY_STRING} // '' };
my $body = $view ? eval { $view->() } // "failed: $@" : "hello\n";
print "Content-Type: text/plain\r\n\r\n$body";
