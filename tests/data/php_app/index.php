<?php
// Each view needs another extension or another part of the system.
$views = [
    '/' => fn () => "hello\n",
    '/json' => fn () => json_encode(['answer' => 42, 'text' => 'é']),
    '/session' => function () {
        session_id('paredown');
        session_start(['use_cookies' => 0, 'cache_limiter' => '']);
        $_SESSION['name'] = 'value';
        session_write_close();
        session_start(['use_cookies' => 0, 'cache_limiter' => '']);
        return $_SESSION['name'];
    },
    '/mbstring' => fn () => mb_strtoupper('grüß') . mb_convert_encoding('grüß', 'ISO-8859-1', 'UTF-8'),
    '/preg' => fn () => preg_replace('/\p{Lu}/u', '_', 'ÄbC'),
    '/sqlite' => function () {
        if (!extension_loaded('pdo_sqlite')) {
            return 'none';
        }
        $base = new PDO('sqlite::memory:');
        $base->exec('create table t (n integer)');
        $base->exec('insert into t values (1), (2), (39)');
        return (string) $base->query('select sum(n) from t')->fetchColumn();
    },
    '/iconv' => fn () => iconv('UTF-8', 'EUC-JP', '日本'),
    '/zone' => fn () => (new DateTime('2024-07-01 12:00', new DateTimeZone('Pacific/Chatham')))->format('c'),
    '/digest' => fn () => hash('sha256', 'x') . openssl_digest('x', 'sha512'),
    '/password' => fn () => (string) password_verify('x', password_hash('x', PASSWORD_DEFAULT)),
    '/compress' => fn () => (string) strlen(gzencode('x')),
    '/extensions' => fn () => implode(' ', get_loaded_extensions()),
    '/child' => fn () => shell_exec('id -u'),
];
$view = $views[parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH)] ?? null;
http_response_code($view ? 200 : 404);
header('Content-Type: text/plain');
echo $view ? $view() : '';
