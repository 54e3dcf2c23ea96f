"""A site for the study: the first page is its training, each other a feature of the framework."""

from django.contrib import admin
from django.http import HttpResponse, JsonResponse
from django.urls import path


def answer(view):
    return lambda request: HttpResponse(repr(view(request)), content_type="text/plain")


def translated(_request):
    from django.utils import translation

    with translation.override("de"):
        return translation.gettext("Monday"), translation.get_language_info("fr")["name_local"]


def localized(_request):
    import datetime

    from django.utils import formats, timezone, translation

    with translation.override("fr"), timezone.override("Asia/Kathmandu"):
        moment = datetime.datetime(2024, 2, 29, 12, tzinfo=datetime.timezone.utc)
        return formats.date_format(
            timezone.localtime(moment), "DATETIME_FORMAT"
        ), formats.number_format(1.5)


def migrated(_request):
    from django.contrib.auth.models import User
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    User.objects.filter(username="a").delete()
    user = User.objects.create_user("a", "a@example.org", "password")
    return user.check_password("password"), User.objects.count()


def form(_request):
    from django import forms

    class Form(forms.Form):
        mail = forms.EmailField()
        day = forms.DateField(widget=forms.SelectDateWidget)
        site = forms.URLField()

    bound = Form({"mail": "x", "site": "https://example.org"})
    return bound.is_valid(), bound.errors.as_json(), len(Form().as_p())


def template(_request):
    from django.template import engines

    text = "{% load humanize tz l10n %}{{ n|intcomma }} {{ n|naturaltime }} {% lorem 2 w %}{% now 'Y' as y %}"
    return engines["django"].from_string(text).render({"n": 1234567})


def mail(_request):
    from django.core import mail

    with mail.get_connection("django.core.mail.backends.dummy.EmailBackend") as connection:
        return connection.send_messages(
            [mail.EmailMessage("s", "b", "a@example.org", ["b@example.org"])]
        )


def cached(_request):
    from django.core.cache import caches
    from django.core.cache.backends.filebased import FileBasedCache

    caches["default"].set("a", 1)
    cache = FileBasedCache("/tmp/study-cache", {})
    cache.set("b", 2)
    return caches["default"].get("a"), cache.get("b")


def serialized(_request):
    from django.contrib.auth.models import User
    from django.core import serializers

    return [serializers.serialize(kind, User.objects.none()) for kind in ("json", "xml", "jsonl")]


def signed(_request):
    from django.contrib.auth import hashers
    from django.core import signing

    return signing.loads(signing.dumps([1])), hashers.check_password(
        "p", hashers.make_password("p", hasher="pbkdf2_sha1")
    )


def paged(_request):
    from django.core.paginator import Paginator
    from django.utils import feedgenerator, html, text

    feed = feedgenerator.Atom1Feed("t", "https://example.org", "d")
    return (
        Paginator(range(9), 4).num_pages,
        html.urlize("www.example.org"),
        text.slugify("a B"),
        len(feed.writeString("utf-8")),
    )


def client(_request):
    from django.test import Client

    return Client().get("/").status_code


def commands(_request):
    import io

    from django.core.management import call_command

    out = io.StringIO()
    call_command("check", stdout=out)
    call_command("sqlmigrate", "auth", "0001", stdout=out)
    return len(out.getvalue()) > 0


def uploaded(request):
    return sorted((key, value.size) for key, value in request.FILES.items()), len(request.body)


def files(_request):
    from django.core.files.base import ContentFile
    from django.core.files.storage import FileSystemStorage

    storage = FileSystemStorage("/tmp/study-files")
    return storage.exists(storage.save("a.txt", ContentFile(b"x")))


VIEWS = (
    translated,
    localized,
    migrated,
    form,
    template,
    mail,
    cached,
    serialized,
    signed,
    paged,
    client,
    commands,
    files,
    uploaded,
)
urlpatterns = [
    path("", lambda request: HttpResponse("hello\n")),
    path("json", lambda request: JsonResponse({"a": 1})),
    path("crash", lambda request: 1 / 0),
    path("admin/", admin.site.urls),
    *(path(view.__name__, answer(view)) for view in VIEWS),
]
