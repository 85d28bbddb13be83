# needs: /usr/bin/python3 bash
cat > t.py <<'P'
import os, pty, select, signal, struct, fcntl, termios, time, re
pid, fd = pty.fork()
if pid == 0:
    os.environ.update(PS1="$ ", TERM="dumb"); os.execvp("bash", ["bash", "--norc", "--noediting", "-i"])
def until(text, limit=20):
    out = b""; end = time.time() + limit
    while text not in out and time.time() < end:
        if select.select([fd], [], [], 0.2)[0]:
            try: out += os.read(fd, 4096)
            except OSError: break
    return text in out
def say(line): os.write(fd, line.encode() + b"\n")
print(until(b"$ ")); say("echo $((20+22))x"); print(until(b"42x"))
fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 77, 0, 0)); say("stty size"); print(until(b"33 77"))
say("sleep 100"); time.sleep(0.5); os.write(fd, b"\x03"); print(until(b"$ ")); say("echo code $?"); print(until(b"code 130"))
say("sleep 100"); time.sleep(0.5); os.write(fd, b"\x1a"); print(until(b"Stopped")); say("jobs; kill %1; wait; echo gone"); print(until(b"gone"))
say("cat > f"); say("typed"); os.write(fd, b"\x04"); say("cat f; tty | cut -c1-8"); print(until(b"typed")); print(until(b"/dev/pts")); say("exit 7")
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
P
exec /usr/bin/python3 t.py
