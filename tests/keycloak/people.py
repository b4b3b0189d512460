"""Somebody who logs in: what they type at the server's pages, and what at `bearerd login`."""

import html
import re
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from http.cookiejar import CookieJar

MOST_PAGES = 12
LOGIN_DEADLINE = 60


class Login:
    """`bearerd login NAME`: a process that shows an address and waits for another."""

    def __init__(self, daemon, name):
        self.process = subprocess.Popen(
            [daemon.binary, "login", name, "--no-browser", "--socket", daemon.socket],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        # It stands alone on standard output; without one, the process has ended and said why.
        self.url = self.process.stdout.readline().strip()

    def code(self):
        """What is to be typed in on another device."""
        while line := self.process.stderr.readline():
            if "enter the code" in line:
                return line.split()[-1]
        raise RuntimeError("bearerd login shows no code")

    def end(self, pasted=None):
        """Pastes the address, if there is one, and waits; the exit code, and what was said."""
        try:
            _, said = self.process.communicate(pasted and f"{pasted}\n", LOGIN_DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            _, said = self.process.communicate()
        return self.process.returncode, said.strip()

    def kill(self):
        """The person gives up, or the connection broke."""
        self.process.kill()
        self.process.communicate()


class Redirects(urllib.request.HTTPRedirectHandler):
    """None is followed unseen: the last one leads to a place where nothing answers."""

    def redirect_request(self, *_):
        return None


class Browser:
    """Keeps cookies, follows redirects within the server, and sends the pages' forms. It has no history: every
    login in it is a session of its own at the server."""

    def __init__(self, tls):
        self.opener = urllib.request.build_opener(
            Redirects, urllib.request.HTTPCookieProcessor(CookieJar()), urllib.request.HTTPSHandler(context=tls))

    def walk(self, url, typed):
        """From page to page, typing into the fields named, or pressing the button named; the address elsewhere
        that it ends at, or the last page's text where that has nothing to send."""
        server, fields = urllib.parse.urlsplit(url).netloc, None
        for _ in range(MOST_PAGES):
            location, page = self.ask(url, fields)
            if location:
                url, fields = urllib.parse.urljoin(url, location), None
                if urllib.parse.urlsplit(url).netloc != server:
                    return url
                continue
            form = re.search(r"<form\b([^>]*)>(.*?)</form>", page, re.DOTALL)
            fields = form and filled(form[2], typed)
            if not fields:
                return re.sub(r"<style>.*?</style>|<[^>]*>|\s+", " ", page, flags=re.DOTALL)
            url = urllib.parse.urljoin(url, attributes(form[1])["action"])
        raise RuntimeError(f"the login has more than {MOST_PAGES} pages")

    def ask(self, url, fields=None):
        """One request; where it redirects to, and the page."""
        content = None if fields is None else urllib.parse.urlencode(fields).encode()
        try:
            with self.opener.open(url, content, timeout=20) as reply:
                return None, reply.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                if error.code in (302, 303):
                    return error.headers["Location"], ""
                raise RuntimeError(f"{urllib.parse.urlsplit(url).path} answered {error.code}") from error


def filled(form, typed):
    """What a form sends: what stands in it unseen, and what is typed or pressed."""
    inputs = [attributes(tag) for tag in re.findall(r"<(?:input|button)\b([^>]*)>", form)]
    return {each["name"]: typed.get(each["name"], each.get("value", "")) for each in inputs
            if each.get("name") in typed or "name" in each and each.get("type") == "hidden"}


def attributes(tag):
    """The attributes of a tag."""
    return {name: html.unescape(value) for name, value in re.findall(r'([\w-]+)="([^"]*)"', tag)}
