"""Starts an SMTP server (aiosmtpd) that asks for STARTTLS and a password, lets casepress hand mails to it, and reads
them as Python's email package does: those of a test, whose every word is known, and those of a ladder and a drill.

    suite.py FOLDER CASEPRESS COMMAND...    certificate.pem and key.pem are in the folder; the command gets CASEPRESS_SMTP, host:port of the server
"""

import asyncio
import email
import email.policy
import json
import logging
import os
import re
import ssl
import sys
import urllib.request

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

logging.getLogger("mail.log").setLevel(logging.ERROR)  # it warns of its own next version

PASSWORD = "pässword in 4 parts".encode()


class Handler:
    def __init__(self):
        self.mails = []

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address == "nobody@example.org":
            return "550 5.1.1 no such user"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server, session, envelope):
        assert session.ssl is not None, "a mail came in plain text"
        self.mails.append((envelope.mail_from, envelope.rcpt_tos, envelope.original_content))
        return "250 2.0.0 taken"


def authenticate(server, session, envelope, mechanism, data):
    good = isinstance(data, LoginPassword) and (data.login, data.password) == (b"casepress", PASSWORD)
    return AuthResult(success=good, handled=False)


def read(mail, language, subject, lines):
    """Reads a mail and holds it against what it must have."""
    sender, recipients, raw = mail
    assert sender == "alerts@example.org" and len(recipients) == 1, (sender, recipients)
    assert max(map(len, raw.split(b"\r\n"))) <= 78, "a line is longer than RFC 5322 recommends"
    assert raw.isascii(), "the mail needs 8BITMIME"
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert not message.defects, message.defects
    for name in message:
        assert not getattr(message[name], "defects", ()), (name, message[name].defects)
    assert re.fullmatch(subject, message["subject"]), message["subject"]
    assert message["auto-submitted"] == "auto-generated"
    assert message["content-language"] == language
    assert message["message-id"] and message["date"].datetime.tzinfo
    assert message.get_content_type() == "text/plain" and message.get_content_charset() == "utf-8"
    body = message.get_content().splitlines()
    missing = [line for line in lines if line not in body]
    assert not missing, (missing, body)
    return recipients[0], message


async def run(command, env, timeout=240):
    process = await asyncio.create_subprocess_exec(*command, env={**os.environ, **env})
    try:
        status = await asyncio.wait_for(process.wait(), timeout)
    except asyncio.TimeoutError:
        process.kill()
        await process.wait()
        raise
    assert status == 0, f"{command} has ended with {status}"


def call(path, body=None):
    request = urllib.request.Request(CASEPRESS + path, body and json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


async def until(what, there):
    for _ in range(600):
        if there():
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"{what} has not come")


async def words(handler, command, env):
    """Both languages, word by word."""
    await run(command, env)
    assert len(handler.mails) == 2, handler.mails
    to, english = read(handler.mails[0], "en", r"Adverse event AE-1 of study S1: acknowledge by 2125-03-01 09:30 UTC", [
        "An adverse event waits for somebody to acknowledge it.", "Case: AE-1", "State: notified", "Known since: 2125-02-28 09:30 UTC",
        "https://casepress.example.org/desk.html#/AE-1"])
    assert to == "safety@example.org" and english["to"] == "Safety officer on call <safety@example.org>", english["to"]
    _, chinese = read(handler.mails[1], "zh-CN", "【演练】不良事件 AE-1（研究 S1）：请于 2125-03-01 09:30 UTC 前确认", [
        "这是一次演练，不涉及任何患者。请按真实情况处理。", "有一起不良事件等待确认。", "事件编号：AE-1", "发送对象：安全员值班（第 2 级，第 3 次）"])
    assert chinese["to"].addresses[0].display_name == "安全员值班", chinese["to"]
    handler.mails.clear()
    print("ok  English and Chinese, STARTTLS, AUTH, by aiosmtpd and Python's email package")


STUDY = {
    "schema": 1, "id": "S1", "version": 1, "title": "A study with a ladder", "languages": ["en", "zh-CN"],
    "adverseEvents": {"limitHours": 24, "ladder": {"repeatMinutes": 5, "rungs": [
        {"who": "Somebody who has left", "mail": "nobody@example.org", "label": "left"},
        {"who": "Safety officer on call", "mail": "safety@example.org", "label": "safety"},
        {"who": "安全员值班", "mail": "duty@example.org", "label": "duty", "language": "zh-CN"}]}},
}


async def ladder(handler, folder, casepress, env):
    """A case goes up a ladder of mail addresses, the first of which the server does not know."""
    global CASEPRESS
    os.mkdir(f"{folder}/studies")
    with open(f"{folder}/studies/S1.json", "w", encoding="utf-8") as f:
        json.dump(STUDY, f)
    with open(f"{folder}/password", "wb") as f:
        f.write(PASSWORD + b"\n")
    log = f"{folder}/log"
    with open(log, "wb") as f:
        server = await asyncio.create_subprocess_exec(
            casepress, "serve", "--http-addr=127.0.0.1:0", "--admin-addr=127.0.0.1:0", "--grpc-addr=127.0.0.1:0", f"--data-dir={folder}/data",
            f"--studies={folder}/studies", f"--smtp={env['CASEPRESS_SMTP']}", "--smtp-user=casepress", f"--smtp-password-file={folder}/password",
            "--mail-from=casepress <alerts@example.org>", "--public-url=https://casepress.example.org", "--min-free-disk=0", env={**os.environ, **env}, stderr=f)
    try:
        def said(pattern):
            with open(log, encoding="utf-8") as f:
                return re.search(pattern, f.read())
        await until("the address", lambda: said(r"for=http addr=(\S+)"))
        CASEPRESS = "http://" + said(r"for=http addr=(\S+)")[1]
        await until("that the mail server takes mails", lambda: said("the mail server takes mails"))
        call("/adverse-events", {"id": "AE-9", "study": "S1", "patientId": "P001", "description": "皮疹。Rash.", "knownAt": "2026-11-26T19:40:00+08:00"})
        await until("two mails", lambda: len(handler.mails) == 2)
        to, english = read(handler.mails[0], "en", r"Adverse event AE-9 of study S1: (acknowledge by|overdue since) 2026-11-27 11:40 UTC", [
            "Case: AE-9", "State: open", "Sent to: Safety officer on call (rung 2 of the ladder, attempt 1)",
            "These channels do not work at the moment, so others may not have been told:", "https://casepress.example.org/desk.html#/AE-9"])
        assert to == "safety@example.org"
        failing = r"- left, since .* UTC: RCPT TO: the server answered 550: 5\.1\.1 no such user"
        assert any(re.fullmatch(failing, line) for line in english.get_content().splitlines()), english.get_content()
        to, chinese = read(handler.mails[1], "zh-CN", r"不良事件 AE-9（研究 S1）：.*2026-11-27 11:40 UTC.*", [
            "事件编号：AE-9", "状态：已通知", "发送对象：安全员值班（第 3 级，第 1 次）"])
        assert to == "duty@example.org"
        assert english["references"] == chinese["references"] and english["message-id"] != chinese["message-id"]
        for message in (english, chinese):
            assert not re.search("P001|皮疹|Rash", message.get_content()), "the mail has something of the patient"

        want = [("notification-failed", "left"), ("notified", "safety"), ("notified", "duty")]
        await until(want, lambda: [(s["step"], s["channel"]) for s in call("/adverse-events/AE-9")["timeline"] if s["channel"]] == want)
        channels = {c["channel"]: c for c in call("/alert-channels")["items"]}
        assert channels["left"]["failingSince"] and channels["left"]["lastError"] == "RCPT TO: the server answered 550: 5.1.1 no such user", channels
        assert not channels["duty"]["failingSince"], channels
        call("/adverse-events/AE-9/acknowledge", {"name": "Dr. Li", "decision": "not-serious"})
        handler.mails.clear()

        await run([casepress, "drill", "sae", "--server", CASEPRESS, "--study", "S1"], {})
        await until("a mail", lambda: handler.mails)
        read(handler.mails[0], "en", r"\[EXERCISE\] Adverse event DRILL-.* of study S1: acknowledge by .*", [
            "THIS IS AN EXERCISE. No patient is concerned. Please act as you would otherwise."])
    except BaseException:
        with open(log, encoding="utf-8") as f:
            print(f.read(), file=sys.stderr)
        raise
    finally:
        server.terminate()
        await asyncio.wait_for(server.wait(), 60)
    print("ok  a ladder of mail addresses, one of them unknown, and a drill")


async def main(folder, casepress, command):
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(f"{folder}/certificate.pem", f"{folder}/key.pem")
    handler = Handler()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(handler, hostname="localhost", tls_context=tls, require_starttls=True, authenticator=authenticate,
                     auth_required=True, loop=loop),
        "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    env = {"CASEPRESS_SMTP": f"{host}:{port}", "SSL_CERT_FILE": f"{folder}/certificate.pem"}
    await words(handler, command, env)
    await ladder(handler, folder, casepress, env)
    server.close()


asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
