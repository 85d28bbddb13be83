/* Keys: add_key(2), request_key(2), keyctl(2), keyrings(7). */
#include "check.h"
#include <linux/keyctl.h>
#include <pthread.h>

#define ctl(...) syscall(SYS_keyctl, __VA_ARGS__)

static long add(const char *type, const char *desc, const char *payload, long ring)
{
	return syscall(SYS_add_key, type, desc, payload, payload ? strlen(payload) : 0, ring);
}

static long session(void)
{
	return CHECK_OK(ctl(KEYCTL_JOIN_SESSION_KEYRING, NULL));
}

TEST(a_key_and_its_payload)
{
	char buf[64] = "";
	session();
	long key = CHECK_OK(add("user", "abc", "hello", KEY_SPEC_SESSION_KEYRING));
	CHECK_GT(key, 0);
	CHECK_EQ(ctl(KEYCTL_READ, key, buf, sizeof buf), 5);
	CHECK_MEM(buf, "hello", 5);
	memset(buf, 'x', 4);
	CHECK_EQ(ctl(KEYCTL_READ, key, buf, 4), 5); /* too small: not touched */
	CHECK_MEM(buf, "xxxxo", 5);
	CHECK_EQ(add("user", "abc", "changed", KEY_SPEC_SESSION_KEYRING), key);
	CHECK_EQ(ctl(KEYCTL_READ, key, buf, sizeof buf), 7);
	CHECK_OK(ctl(KEYCTL_UPDATE, key, "new", 3));
	CHECK_EQ(ctl(KEYCTL_READ, key, buf, sizeof buf), 3);
	CHECK_MEM(buf, "new", 3);
	CHECK_EQ(syscall(SYS_request_key, "user", "abc", NULL, 0), key);
	CHECK_ERRNO(syscall(SYS_request_key, "user", "abd", NULL, 0), ENOKEY);
	CHECK_EQ(ctl(KEYCTL_SEARCH, KEY_SPEC_SESSION_KEYRING, "user", "abc", 0), key);
	CHECK_ERRNO(ctl(KEYCTL_SEARCH, KEY_SPEC_SESSION_KEYRING, "user", "abd", 0), ENOKEY);
}

TEST(descriptions)
{
	char buf[128], want[128];
	long ring = session(), key = CHECK_OK(add("user", "a key", "x", ring));
	snprintf(want, sizeof want, "user;%d;%d;3f010000;a key", getuid(), getgid());
	CHECK_EQ(ctl(KEYCTL_DESCRIBE, key, buf, sizeof buf), strlen(want) + 1);
	CHECK_STR(buf, want);
	CHECK_EQ(ctl(KEYCTL_DESCRIBE, key, NULL, 0), strlen(want) + 1);
	snprintf(want, sizeof want, "keyring;%d;%d;3f030000;_ses", getuid(), getgid());
	CHECK_OK(ctl(KEYCTL_DESCRIBE, ring, buf, sizeof buf));
	CHECK_STR(buf, want);
	CHECK_OK(ctl(KEYCTL_GET_KEYRING_ID, KEY_SPEC_THREAD_KEYRING, 1));
	CHECK_OK(ctl(KEYCTL_DESCRIBE, KEY_SPEC_THREAD_KEYRING, buf, sizeof buf));
	snprintf(want, sizeof want, "keyring;%d;%d;3f010000;_tid", getuid(), getgid());
	CHECK_STR(buf, want);
	CHECK_OK(ctl(KEYCTL_DESCRIBE, KEY_SPEC_USER_KEYRING, buf, sizeof buf));
	snprintf(want, sizeof want, "keyring;%d;65534;1f3f0000;_uid.%d", getuid(), getuid());
	CHECK_STR(buf, want);
	key = CHECK_OK(add("logon", "service:a", "x", ring));
	CHECK_OK(ctl(KEYCTL_DESCRIBE, key, buf, sizeof buf));
	snprintf(want, sizeof want, "logon;%d;%d;3d010000;service:a", getuid(), getgid());
	CHECK_STR(buf, want);
	CHECK_ERRNO(ctl(KEYCTL_READ, key, buf, sizeof buf), EOPNOTSUPP);
}

TEST(add_errors_in_order)
{
	long ring = session(), key = CHECK_OK(add("user", "k", "x", ring));
	char longest[5000];
	memset(longest, 'x', sizeof longest);
	longest[4999] = 0;
	CHECK_ERRNO(syscall(SYS_add_key, BAD, BAD, BAD, 1024 * 1024, 0), EINVAL);
	CHECK_ERRNO(syscall(SYS_add_key, BAD, "d", "x", 1, ring), EFAULT);
	CHECK_ERRNO(add("", "d", "x", ring), EINVAL);
	CHECK_ERRNO(add("0123456789012345678901234567890123", "d", "x", ring), EINVAL);
	CHECK_ERRNO(add(".user", "d", "x", ring), EPERM);
	CHECK_ERRNO(add("user", BAD, "x", ring), EFAULT);
	CHECK_ERRNO(add("user", longest, "x", ring), EINVAL);
	CHECK_ERRNO(add("keyring", ".d", NULL, ring), EPERM);
	CHECK_ERRNO(syscall(SYS_add_key, "user", "d", BAD, 1, ring), EFAULT);
	CHECK_ERRNO(add("nosuch", "d", "x", 0), EINVAL);
	CHECK_ERRNO(add("nosuch", "d", "x", 0x7ffffff0), ENOKEY);
	CHECK_ERRNO(add("nosuch", "d", "x", ring), ENODEV);
	CHECK_ERRNO(add("user", "d", "x", key), ENOTDIR);
	CHECK_ERRNO(add("user", "d", NULL, ring), EINVAL);
	CHECK_ERRNO(add("user", "", "x", ring), EINVAL);
	CHECK_ERRNO(add("user", NULL, "x", ring), EINVAL);
	CHECK_ERRNO(add("keyring", "d", "x", ring), EINVAL);
	CHECK_ERRNO(add("logon", "noservice", "x", ring), EINVAL);
	CHECK_ERRNO(add("user", "d", "x", KEY_SPEC_GROUP_KEYRING), EINVAL);
	CHECK_ERRNO(ctl(99, 0, 0, 0, 0), EOPNOTSUPP);
	CHECK_ERRNO(ctl(KEYCTL_GET_KEYRING_ID, 0, 0), EINVAL);
	CHECK_ERRNO(ctl(KEYCTL_GET_KEYRING_ID, -99, 0), EINVAL);
	CHECK_ERRNO(ctl(KEYCTL_GET_KEYRING_ID, KEY_SPEC_THREAD_KEYRING, 0), ENOKEY);
	CHECK_ERRNO(ctl(KEYCTL_UPDATE, ring, NULL, 0), EOPNOTSUPP);
	CHECK_ERRNO(ctl(KEYCTL_SETPERM, key, 0x40000000), EINVAL);
	CHECK_ERRNO(ctl(KEYCTL_SET_REQKEY_KEYRING, 6), EINVAL);
}

TEST(links)
{
	int list[4] = {0};
	long ring = session(), a = CHECK_OK(add("keyring", "a", NULL, ring)), b = CHECK_OK(add("keyring", "b", NULL, a));
	long key = CHECK_OK(add("user", "deep", "x", b));
	CHECK_EQ(ctl(KEYCTL_SEARCH, ring, "user", "deep", 0), key);
	CHECK_ERRNO(ctl(KEYCTL_LINK, ring, b), EDEADLK);
	CHECK_ERRNO(ctl(KEYCTL_LINK, a, a), EDEADLK);
	CHECK_ERRNO(ctl(KEYCTL_LINK, a, key), ENOTDIR);
	CHECK_OK(ctl(KEYCTL_LINK, key, ring));
	CHECK_OK(ctl(KEYCTL_LINK, key, ring));
	CHECK_EQ(ctl(KEYCTL_READ, ring, list, sizeof list), 8);
	CHECK((list[0] == a && list[1] == key) || (list[0] == key && list[1] == a));
	CHECK_OK(ctl(KEYCTL_UNLINK, key, b));
	CHECK_ERRNO(ctl(KEYCTL_UNLINK, key, b), ENOENT);
	CHECK_EQ(ctl(KEYCTL_READ, b, list, sizeof list), 0);
	/* another key known by the same takes the place */
	long other = CHECK_OK(add("user", "deep", "y", a));
	CHECK_NE(other, key);
	CHECK_OK(ctl(KEYCTL_LINK, other, ring));
	CHECK_EQ(ctl(KEYCTL_READ, ring, list, sizeof list), 8);
	CHECK_OK(ctl(KEYCTL_MOVE, other, a, b, 0));
	CHECK_ERRNO(ctl(KEYCTL_MOVE, other, a, b, 0), ENOENT);
	CHECK_ERRNO(ctl(KEYCTL_MOVE, other, b, a, 2), EINVAL);
	CHECK_ERRNO(ctl(KEYCTL_MOVE, other, b, ring, KEYCTL_MOVE_EXCL), EEXIST);
	CHECK_OK(ctl(KEYCTL_CLEAR, b));
	CHECK_ERRNO(ctl(KEYCTL_CLEAR, other), ENOTDIR);
	CHECK_OK(ctl(KEYCTL_RESTRICT_KEYRING, b, NULL, NULL));
	CHECK_ERRNO(ctl(KEYCTL_LINK, other, b), EPERM);
}

TEST(revoked_expired_invalid)
{
	char buf[8];
	long ring = session(), key = CHECK_OK(add("user", "a", "x", ring));
	CHECK_OK(ctl(KEYCTL_REVOKE, key));
	CHECK_ERRNO(ctl(KEYCTL_READ, key, buf, 8), EKEYREVOKED);
	CHECK_ERRNO(ctl(KEYCTL_UPDATE, key, "y", 1), EKEYREVOKED);
	CHECK_ERRNO(syscall(SYS_request_key, "user", "a", NULL, 0), EKEYREVOKED);
	CHECK_NE(CHECK_OK(add("user", "a", "z", ring)), key);
	key = CHECK_OK(add("user", "b", "x", ring));
	CHECK_OK(ctl(KEYCTL_SET_TIMEOUT, key, 1));
	CHECK_EQ(ctl(KEYCTL_READ, key, buf, 8), 1);
	msleep(2100);
	CHECK_ERRNO(ctl(KEYCTL_READ, key, buf, 8), EKEYEXPIRED);
	key = CHECK_OK(add("user", "c", "x", ring));
	CHECK_OK(ctl(KEYCTL_INVALIDATE, key));
	/* taken from its keyrings in the background, so for a moment it may be there and not be possessed */
	CHECK_EQ(ctl(KEYCTL_READ, key, buf, 8), -1);
	CHECK(errno == ENOKEY || errno == EACCES);
	CHECK_OK(ctl(KEYCTL_REVOKE, ring));
	CHECK_ERRNO(add("user", "d", "x", ring), EKEYREVOKED);
}

TEST(permissions)
{
	char buf[8];
	NEED_ROOT();
	long ring = session(), key = CHECK_OK(add("user", "a", "x", ring));
	CHILD {
		become_user();
		session();
		CHECK_ERRNO(ctl(KEYCTL_READ, key, buf, 8), EACCES);
		CHECK_ERRNO(ctl(KEYCTL_DESCRIBE, key, buf, 8), EACCES);
		CHECK_ERRNO(ctl(KEYCTL_REVOKE, key), EACCES);
	} CHILD_END;
	CHECK_OK(ctl(KEYCTL_SETPERM, key, 0x3f010002));
	CHILD {
		become_user();
		session();
		CHECK_EQ(ctl(KEYCTL_READ, key, buf, 8), 1);
		CHECK_ERRNO(ctl(KEYCTL_UPDATE, key, "y", 1), EACCES);
	} CHILD_END;
	CHECK_OK(ctl(KEYCTL_SETPERM, key, 0));
	CHECK_ERRNO(ctl(KEYCTL_SETPERM, key, 0x3f010000), EACCES);
	CHECK_ERRNO(ctl(KEYCTL_DESCRIBE, key, buf, 8), EACCES);
	key = CHECK_OK(add("user", "b", "x", ring));
	CHECK_OK(ctl(KEYCTL_CHOWN, key, -1, -1));
	CHECK_OK(ctl(KEYCTL_CHOWN, key, -1, getgid()));
}

static void *other_thread(void *arg)
{
	*(long *)arg = ctl(KEYCTL_GET_KEYRING_ID, KEY_SPEC_THREAD_KEYRING, 0);
	return NULL;
}

TEST(whose_keyrings)
{
	long ring = session(), theirs = -1;
	long tid = CHECK_OK(ctl(KEYCTL_GET_KEYRING_ID, KEY_SPEC_THREAD_KEYRING, 1));
	long pid = CHECK_OK(ctl(KEYCTL_GET_KEYRING_ID, KEY_SPEC_PROCESS_KEYRING, 1));
	CHECK_NE(tid, pid);
	CHECK_EQ(ctl(KEYCTL_GET_KEYRING_ID, KEY_SPEC_THREAD_KEYRING, 0), tid);
	CHILD {
		CHECK_EQ(ctl(KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0), ring);
		CHECK_ERRNO(ctl(KEYCTL_GET_KEYRING_ID, KEY_SPEC_THREAD_KEYRING, 0), ENOKEY);
		CHECK_ERRNO(ctl(KEYCTL_GET_KEYRING_ID, KEY_SPEC_PROCESS_KEYRING, 0), ENOKEY);
		CHECK_NE(session(), ring);
	} CHILD_END;
	CHECK_EQ(ctl(KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0), ring);
	pthread_t t;
	CHECK_EQ(pthread_create(&t, NULL, other_thread, &theirs), 0);
	pthread_join(t, NULL);
	CHECK_GT(theirs, 0); /* who has one gives new threads one of their own */
	CHECK_NE(theirs, tid);
	CHECK_EQ(ctl(KEYCTL_SET_REQKEY_KEYRING, -1), 0);
	CHECK_EQ(ctl(KEYCTL_SET_REQKEY_KEYRING, 2), 0);
	CHECK_EQ(ctl(KEYCTL_SET_REQKEY_KEYRING, -1), 2);
}

TEST(named_sessions)
{
	char name[32];
	snprintf(name, sizeof name, "abi-%d", getpid());
	long ring = CHECK_OK(ctl(KEYCTL_JOIN_SESSION_KEYRING, name));
	CHECK_ERRNO(ctl(KEYCTL_JOIN_SESSION_KEYRING, ".name"), EPERM);
	CHECK_ERRNO(ctl(KEYCTL_JOIN_SESSION_KEYRING, BAD), EFAULT);
	CHECK_EQ(ctl(KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0), ring);
	CHECK_OK(ctl(KEYCTL_SETPERM, ring, 0x3f3f0000));
	CHECK_EQ(ctl(KEYCTL_JOIN_SESSION_KEYRING, name), 0); /* it is the one */
	CHECK_OK(ctl(KEYCTL_LINK, ring, KEY_SPEC_PROCESS_KEYRING)); /* which keeps it */
	session();
	CHECK_EQ(ctl(KEYCTL_JOIN_SESSION_KEYRING, name), ring);
}

TEST(quota)
{
	char desc[16];
	int n = 0;
	become_user();
	long ring = session();
	for (; n < 300; n++) {
		snprintf(desc, sizeof desc, "k%d", n);
		if (add("user", desc, "x", ring) < 0)
			break;
	}
	CHECK_EQ(errno, EDQUOT);
	CHECK_LT(n, 201);
	CHECK_GT(n, 100);
	CHECK_OK(ctl(KEYCTL_CLEAR, ring));
}
