"""A person with a browser: cookies, forms and redirects, one at a time, and the decision to agree or not."""

import html
import re
import urllib.error
import urllib.parse
import urllib.request
from http.cookiejar import CookieJar

MOST_PAGES = 12


class OneAtATime(urllib.request.HTTPRedirectHandler):
    """Leaves redirects to us: the one that ends a login leads to a place where nothing answers."""

    def redirect_request(self, *_):
        return None


class Browser:
    """One browser, with no history: every login in it is a session of its own at the server."""

    def __init__(self, tls, user, agrees=True):
        self.user, self.agrees = user, agrees
        self.opener = urllib.request.build_opener(
            OneAtATime, urllib.request.HTTPCookieProcessor(CookieJar()),
            urllib.request.HTTPSHandler(context=tls))

    def log_in(self, url):
        """Goes through the server's pages; the address that the browser is sent to at the end, or None where
        the last page is one of the server's own (device flow)."""
        server = urllib.parse.urlsplit(url)[:2]
        form = None
        for _ in range(MOST_PAGES):
            location, page = self.ask(url, form)
            if location:
                url, form = urllib.parse.urljoin(url, location), None
                if urllib.parse.urlsplit(url)[:2] != server:
                    return url
                continue
            filled = self.fill(page)
            if filled is None:
                return None
            url, form = urllib.parse.urljoin(url, filled[0]), filled[1]
        raise RuntimeError(f"the login has more than {MOST_PAGES} pages")

    def ask(self, url, form=None):
        """One request; where it redirects to, and the page."""
        content = None if form is None else urllib.parse.urlencode(form).encode()
        try:
            with self.opener.open(url, content, timeout=20) as reply:
                return None, reply.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                if error.code in (302, 303):
                    return error.headers["Location"], ""
                raise RuntimeError(f"{urllib.parse.urlsplit(url).path} answered {error.code}") from error

    def fill(self, page):
        """The page's form as this person sends it, (address, fields); None if it has none."""
        found = re.search(r"<form\b([^>]*)>(.*?)</form>", page, re.DOTALL)
        if not found:
            return None
        inputs = [attributes(tag) for tag in re.findall(r"<(?:input|button)\b([^>]*)>", found[2])]
        fields = {each["name"]: each.get("value", "") for each in inputs
                  if "name" in each and each.get("type") == "hidden"}
        names = {each.get("name") for each in inputs}
        if "username" in names:
            fields["username"] = self.user
        elif {"accept", "cancel"} <= names:
            fields["accept" if self.agrees else "cancel"] = "1"
        else:
            return None
        return attributes(found[1])["action"], fields


def attributes(tag):
    """The attributes of a tag."""
    return {name: html.unescape(value) for name, value in re.findall(r'([\w-]+)="([^"]*)"', tag)}
