<?php
// An application for the study: GET / is its training, each other view a feature of its own.
$views = [
    '/' => fn () => "hello\n",
    '/crash' => fn () => intdiv(1, 0),
    '/upload' => fn () => hash('sha256', file_get_contents('php://input')),
    '/session' => function () {
        session_id('study');
        session_start(['use_cookies' => 0, 'cache_limiter' => '']);
        $_SESSION['n'] = ($_SESSION['n'] ?? 40) + 2;
        session_write_close();
        return (string) $_SESSION['n'];
    },
    '/strings' => fn () => mb_strtoupper('grüß') . mb_substr('日本語', 1) . mb_detect_encoding('grüß', ['ASCII', 'UTF-8']) . similar_text('World', 'Word'),
    '/regular' => fn () => preg_replace_callback('/\p{Lu}(?=b)/u', fn ($m) => "[$m[0]]", 'ÄbC'),
    '/iconv' => fn () => bin2hex(iconv('UTF-8', 'SHIFT_JIS//TRANSLIT', '日本')) . iconv_strlen('grüß'),
    '/zones' => fn () => (new DateTimeImmutable('2025-03-09 12:00', new DateTimeZone('America/St_Johns')))->format('c T') . count(DateTimeZone::listIdentifiers()),
    '/dates' => fn () => (new DateTime('2024-02-29'))->modify('+1 year last day of february')->format('D, d M Y'),
    '/digests' => fn () => hash('sha3-256', 'x') . hash('xxh3', 'x') . hash_hmac('sha512', 'm', 'k') . openssl_digest('x', 'sha1') . crc32('x'),
    '/cipher' => fn () => bin2hex(openssl_encrypt('x', 'aes-256-cbc', str_repeat('k', 32), OPENSSL_RAW_DATA, str_repeat('i', 16))),
    '/password' => fn () => (string) (password_verify('x', password_hash('x', PASSWORD_ARGON2ID)) && password_verify('x', password_hash('x', PASSWORD_BCRYPT))),
    '/certificate' => fn () => openssl_x509_parse(file_get_contents('/app/cert.pem'))['subject']['CN'],
    '/roots' => fn () => json_encode(openssl_get_cert_locations()['default_cert_file']),
    '/compress' => fn () => strlen(gzencode(str_repeat('x', 999))) . gzuncompress(gzcompress('y')),
    '/database' => function () {
        $base = new PDO('sqlite:/tmp/study.sqlite');
        $base->exec('drop table if exists t; create table t (n integer, s text)');
        $base->prepare('insert into t values (?, ?)')->execute([41, 'é']);
        return json_encode($base->query('select n + 1 as n, upper(s) as s from t')->fetch(PDO::FETCH_ASSOC));
    },
    '/sqlite' => fn () => SQLite3::version()['versionString'],
    '/json' => fn () => json_encode(json_decode('{"a": [1.5, "\u00e9"]}', true), JSON_PRETTY_PRINT | JSON_UNESCAPED_UNICODE),
    '/lookup' => fn () => gethostbyname('localhost') . json_encode(gethostbynamel('nowhere.invalid')) . getservbyname('https', 'tcp'),
    '/accounts' => fn () => json_encode(posix_getpwnam('www-data')['dir']) . posix_getgrgid(0)['name'],
    '/child' => fn () => shell_exec('id -u'),
    '/shell' => fn () => shell_exec('printf %s $((6 * 7))'),
    '/process' => function () {
        $process = proc_open([PHP_BINDIR . '/php', '-r', 'echo 6 * 7;'], [1 => ['pipe', 'w']], $pipes);
        return is_resource($process) ? stream_get_contents($pipes[1]) . proc_close($process) : 'none';
    },
    '/files' => function () {
        $name = tempnam(sys_get_temp_dir(), 'study');
        file_put_contents($name, "a\nb\n");
        $lines = count(file($name)) . mime_content_type($name) . finfo_buffer(finfo_open(FILEINFO_MIME_TYPE), "\x89PNG\r\n\x1a\n");
        unlink($name);
        return $lines;
    },
    '/fetch' => fn () => file_get_contents('http://127.0.0.1:8000/'),
    '/locale' => fn () => json_encode([setlocale(LC_ALL, 'C.UTF-8', 'C'), localeconv()['decimal_point'], setlocale(LC_ALL, 'de_DE.UTF-8')]),
    '/gettext' => fn () => function_exists('gettext') ? gettext('hello') : 'none',
    '/reflection' => fn () => (new ReflectionFunction('strlen'))->getNumberOfParameters() . token_name(T_STRING) . count(token_get_all('<?php echo 1;')),
    '/iterators' => fn () => implode(',', iterator_to_array(new LimitIterator(new ArrayIterator(range(1, 9)), 2, 3), false)) . (new SplObjectStorage())->count(),
    '/archive' => fn () => (string) class_exists('PharData') . (extension_loaded('Phar') ? Phar::apiVersion() : ''),
    '/random' => function () { mt_srand(1); return mt_rand(1, 99) . strlen(random_bytes(3)); },
    '/filters' => fn () => json_encode([filter_var('a@example.org', FILTER_VALIDATE_EMAIL), filter_var('1.5', FILTER_VALIDATE_FLOAT), ctype_alpha('abc')]),
    '/sockets' => function () { $server = stream_socket_server('tcp://127.0.0.1:0'); return (string) is_resource($server); },
    '/extensions' => fn () => implode(' ', get_loaded_extensions()),
    '/shared' => fn () => function_exists('shm_attach') ? (string) is_object(shm_attach(ftok('/app/index.php', 'a'))) : 'none',
    '/calendar' => fn () => function_exists('cal_days_in_month') ? (string) cal_days_in_month(CAL_GREGORIAN, 2, 2024) : 'none',
    '/highlight' => fn () => highlight_string('<?php echo 1;', true),
];
$view = $views[parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH)] ?? null;
header('Content-Type: text/plain');
try {
    $body = $view ? $view() : '';
    http_response_code($view ? 200 : 404);
} catch (Throwable $error) {
    http_response_code(500);
    $body = $error->getMessage();
}
echo $body;
