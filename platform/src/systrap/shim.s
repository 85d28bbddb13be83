# The shim: the only code in a stub that may make host system calls.
#
# It is copied out of the sentry's text into an ELF image of its own, so it refers to nothing outside itself. It uses no
# SSE and no guest stack. Everything it knows is in the slot of its thread; every path finds the slot from rsp, which is
# always inside it. rbx holds the slot's address throughout.
#
# It trusts its slot because only its own process and the sentry can write there. A guest that scribbles over its own
# slot breaks its own address space; the seccomp filter bounds what the calls below can do.
#
# (C) names are constants from layout.rs.

    .pushsection .text.systrap_shim, "ax", @progbits
    .balign 64
    .globl systrap_shim_start
systrap_shim_start:

# ---- where the zygote starts: descriptor 1 is the memfd of unit 0 -----------------------------------------------------
    .globl systrap_shim_entry
systrap_shim_entry:
    movabs rbx, {zygote_unit}
    mov rdi, rbx
    mov esi, {unit_len}
    mov edx, 3                          # PROT_READ | PROT_WRITE
    mov r10d, 0x100001                  # MAP_SHARED | MAP_FIXED_NOREPLACE
    mov r8d, 1
    xor r9d, r9d
    mov eax, 9                          # mmap
    syscall
    cmp rax, rbx
    jne 1f
    lea rsp, [rbx + {slot_len} - 4096]
    jmp ops_done
1:  mov edi, 126
    mov eax, 60                         # exit
    syscall
    ud2

# ---- every signal: rdi = number, rsi = siginfo, rdx = ucontext --------------------------------------------------------
    .balign 64
    .globl systrap_shim_handler
systrap_shim_handler:
    mov rbx, rdx
    and rbx, -{slot_len}
    mov rax, [rdx + {uc_rip}]
    lea rcx, [rip + systrap_shim_start]
    mov rsi, rax
    sub rsi, rcx
    cmp rsi, {shim_len}
    jb in_shim
trapped:
    mov [rbx + {frame}], rdx
    mov [rbx + {signo}], edi
    test dword ptr [rbx + {features}], {feature_fsgsbase}
    jz 1f
    rdfsbase rax
    mov [rbx + {fs}], rax
    rdgsbase rax
    mov [rbx + {gs}], rax
1:  rdtsc
    shl rdx, 32
    or rax, rdx
    mov [rbx + {tsc}], rax
    mov dword ptr [rbx + {record_count}], 0
    cmp edi, 31                         # SIGSYS
    jne post
    mov rax, [rbx + {frame}]
    lea r12, [rax + {uc_mcontext}]
    jmp copy_arguments

# ---- tell the sentry, then wait for its answer ------------------------------------------------------------------------
post:
    mov eax, [rbx + {next}]
    xchg [rbx + {request}], eax
    cmp eax, {asleep}
    jne spin
    lea rdi, [rbx + {request}]
    mov esi, 1                          # FUTEX_WAKE
    mov edx, 1
    mov eax, 202                        # futex
    syscall
    jmp wait                            # the sentry was asleep: it needs this processor, so do not spin
spin:
    mov r12d, [rbx + {spin}]            # how many rounds; others that want the processor get it between them
    test r12d, r12d
    jz wait
    mov dword ptr [rbx + {turn}], 0
1:  mov ecx, [rbx + {spin_pauses}]
2:  cmp dword ptr [rbx + {reply}], {posted}
    je answered                         # a plain look: a locked one would cost one more transfer of the line
    cmp dword ptr [rbx + {turn}], 0
    jne 3f
    pause
    sub ecx, 1
    ja 2b
3:  cmp dword ptr [rbx + {spin}], 0     # the sentry is about to sleep
    je wait
    sub r12d, 1
    jbe wait
    mov eax, 24                         # sched_yield
    syscall
    mov dword ptr [rbx + {turn}], 0     # what was said meanwhile was about who had this processor
    jmp 1b

wait:
    xor eax, eax
    mov ecx, {asleep}
    lock cmpxchg [rbx + {reply}], ecx
    cmp eax, {posted}
    je answered
    lea rdi, [rbx + {reply}]
    xor esi, esi                        # FUTEX_WAIT
    mov edx, {asleep}
    xor r10d, r10d
    mov eax, 202
    syscall
    jmp wait

answered:
    mov dword ptr [rbx + {reply}], {empty}

# ---- run the operations: r12 = how many are left, r13 = the next -------------------------------------------------------
    mov r12d, [rbx + {op_count}]
    cmp r12d, {ops_max}
    ja after_ops
    lea r13, [rbx + {ops}]
next_op:
    sub r12d, 1
    jb after_ops
    mov r14, [r13]
    mov eax, r14d
    mov rdi, [r13 + 8]
    mov rsi, [r13 + 16]
    mov rdx, [r13 + 24]
    mov r10, [r13 + 32]
    mov r8, [r13 + 40]
    mov r9, [r13 + 48]
    cmp eax, {op_copy}
    je copy
    cmp eax, {op_compare}
    je compare
    syscall
    cmp r14d, 56                        # clone: the child has the stack that was passed, so another slot
    jne 1f
    test rax, rax
    jz child
1:  mov [r13 + {op_result}], rax
    bt r14, 32                          # OP_MUST_SUCCEED
    jnc 2f
    cmp rax, -4095
    jae ops_done                        # even if the list ends with a return to the guest
2:  add r13, {op_len}
    jmp next_op

copy:
    mov rcx, rdx
copy_instruction:
    rep movsb
copy_done:
    mov rax, rdx
    sub rax, rcx
    jmp 1b

compare:
    mov eax, esi
compare_instruction:
    lock cmpxchg [rdi], edx
    jmp 1b
compare_faulted:
    mov rax, -14                        # EFAULT
    jmp 1b

    # The one operation of most calls that have any, in the line of the reply.
copy_result:
    mov rdi, [rbx + {resume_at}]
    mov rcx, [rbx + {new_fs}]
    mov rsi, [rbx + {new_gs}]
    test al, {flag_here}
    jz copy_result_instruction
    lea rsi, [rbx + {new_gs}]
copy_result_instruction:
    rep movsb
    jmp copied_result

child:
    lea rbx, [rsp - 1]
    and rbx, -{slot_len}
    jmp wait

after_ops:
    mov eax, [rbx + {flags}]
    test al, {flag_copy}
    jnz copy_result
copied_result:
    test al, {flag_fast}
    jnz fast_resume
    test al, {flag_resume}
    jnz resume
    test al, {flag_upgrade}
    jnz upgrade
    test al, {flag_exit}
    jnz leave
ops_done:
    mov dword ptr [rbx + {signo}], 0
    jmp post

leave:
    mov dword ptr [rbx + {request}], {exiting}
    xor edi, edi
    mov eax, 60
    syscall
    ud2

# ---- back to the guest -------------------------------------------------------------------------------------------------
resume:
    # A kick may have come before there was a frame.
    cmp dword ptr [rbx + {kick}], 0
    jne fast_kicked
    test dword ptr [rbx + {features}], {feature_fsgsbase}
    jz 1f
    mov rax, [rbx + {new_fs}]
    wrfsbase rax
    mov rax, [rbx + {new_gs}]
    wrgsbase rax
1:  mov rsp, [rbx + {resume_at}]
    .globl systrap_shim_restorer
systrap_shim_restorer:
    mov eax, 15                         # rt_sigreturn
    syscall
    ud2

# ---- signals while the shim itself ran: rax = rip --------------------------------------------------------------------
in_shim:
    # A kick finds the shim only in a patched call, as all else runs with it blocked.
    cmp edi, {kick_signal}
    jne 1f
    lea rcx, [rip + systrap_shim_fast]
    cmp rax, rcx
    jb kick_later
    lea rcx, [rip + ask]
    cmp rax, rcx
    jb kick_early
    lea rcx, [rip + fast_return]
    cmp rax, rcx
    jb kick_later
    lea rcx, [rip + fast_resume_end]
    cmp rax, rcx
    jb convert                          # on its way to the guest: take it from where it was going
kick_later:
    # The request is not posted, or not answered, or the answer not looked at: the way back to the guest sees this.
    mov dword ptr [rbx + {kick}], 1
    mov rsp, rdx
    jmp systrap_shim_restorer

    # The call may be about to be answered here, where nobody looks at the kick: undo what was done, and ask the sentry.
kick_early:
    mov dword ptr [rbx + {kick}], 1
    lea rcx, [rip + answer_saved]
    cmp rax, rcx
    jb 3f
    lea rcx, [rip + answer_flags_saved]
    cmp rax, rcx
    jb 2f
    movzx ecx, byte ptr [rbx + {answer_flags} + 1]
    mov [rdx + {uc_eflags}], cl
    movzx ecx, byte ptr [rbx + {answer_flags}]
    shl ecx, 11                         # OF
    mov esi, [rdx + {uc_eflags}]
    btr esi, 11
    or esi, ecx
    mov [rdx + {uc_eflags}], esi
2:  mov rax, [rbx + {registers} + 104]
    mov [rdx + {uc_mcontext} + 104], rax
    mov rax, [rbx + {registers} + 88]
    mov [rdx + {uc_mcontext} + 88], rax
    mov rax, [rbx + {registers} + 112]
    mov [rdx + {uc_mcontext} + 112], rax
3:  lea rsi, [rip + ask]
    jmp continue_at

    # Faults of copies are not the guest's: continue after them; rcx or rdi say how far they came.
1:  lea rcx, [rip + copy_instruction]
    lea rsi, [rip + copy_done]
    cmp rax, rcx
    je continue_at
    lea rcx, [rip + copy_result_instruction]
    lea rsi, [rip + copied_result]
    cmp rax, rcx
    je continue_at
    lea rcx, [rip + compare_instruction]
    lea rsi, [rip + compare_faulted]
    cmp rax, rcx
    je continue_at
    lea rcx, [rip + argument_copy]
    lea rsi, [rip + argument_copied]
    cmp rax, rcx
    je continue_at
    lea rcx, [rip + argument_probe]
    lea rsi, [rip + argument_probed]
    cmp rax, rcx
    je continue_at
    lea rcx, [rip + local_copy]
    lea rsi, [rip + local_copied]
    cmp rax, rcx
    je continue_at
    lea rcx, [rip + upgraded]
    cmp rax, rcx
    jne trapped
    mov edi, {event_upgraded}
    jmp convert

continue_at:
    mov [rdx + {uc_rip}], rsi
    mov rsp, rdx
    jmp systrap_shim_restorer

# The frame is that of the shim: give it the registers of the guest.
convert:
    lea rsi, [rbx + {registers}]
    mov ecx, 18
1:  mov rax, [rsi + rcx * 8 - 8]
    mov [rdx + rcx * 8 + {uc_mcontext} - 8], rax
    dec ecx
    jnz 1b
    jmp trapped

# ---- patched calls: rax = number, rcx = return address, everything else the guest's; gs base = slot --------------------
    .balign 64
    .globl systrap_shim_fast
systrap_shim_fast:
    mov gs:[{registers} + 104], rax     # A fault here means that the guest changed gs: the sentry repairs it.
    mov gs:[{registers} + 88], rbx
    mov gs:[{registers} + 112], rcx
answer_saved:
    # Some calls need no sentry. Up to `ask`, rax, rbx, r11 and rflags are not the guest's; see `kick_early`.
    mov ebx, eax
    lahf
    seto al
    mov gs:[{answer_flags}], ax
answer_flags_saved:
    cmp ebx, {copy_table_rows}
    jae not_answered
    imul ebx, ebx, {copy_row_len}
    lea r11, [rip + systrap_shim_start + {copy_table_distance}]
    mov r11d, [r11 + rbx]
    test r11d, {copy_answer}
    jz not_answered
    shr r11d, 16                        # where in the slot the answer is
    mov r11, gs:[r11]
    btr r11, 63                         # whether there is one
    jnc not_answered
    cmp ebx, 24 * {copy_row_len}        # sched_yield
    je yield
answer:
    mov rbx, gs:[{registers} + 88]
    add al, 127                         # OF
    sahf
    mov rax, r11
    jmp rcx

yield:
    mov eax, 24                         # sched_yield
    syscall
    mov rcx, gs:[{registers} + 112]
    movzx eax, word ptr gs:[{answer_flags}]
    mov r11d, 0
    jmp answer

not_answered:
    movzx eax, word ptr gs:[{answer_flags}]
    add al, 127
    sahf
    mov rbx, gs:[{registers} + 88]
    mov rax, gs:[{registers} + 104]
ask:
    mov gs:[{registers} + 120], rsp
    mov gs:[{registers} + 128], rcx
    mov gs:[{registers} + 112], rcx
    mov gs:[{registers} + 104], rax
    mov gs:[{registers} + 96], rdx
    mov gs:[{registers} + 88], rbx
    mov gs:[{registers} + 80], rbp
    mov gs:[{registers} + 72], rsi
    mov gs:[{registers} + 64], rdi
    mov gs:[{registers} + 56], r15
    mov gs:[{registers} + 48], r14
    mov gs:[{registers} + 40], r13
    mov gs:[{registers} + 32], r12
    mov gs:[{registers} + 16], r10
    mov gs:[{registers} + 8], r9
    mov gs:[{registers} + 0], r8
    # The sentry seldom looks at more than this, which is in one line with the request.
    mov gs:[{number}], eax
    mov gs:[{arguments} + 0], rdi
    mov gs:[{arguments} + 8], rsi
    mov gs:[{arguments} + 16], rdx
    mov gs:[{arguments} + 24], r10
    mov gs:[{arguments} + 32], r8
    mov gs:[{arguments} + 40], r9
    rdgsbase rbx
    lea rsp, [rbx + {small_stack}]
    pushfq
    pop r11
    cld
    mov [rbx + {registers} + 24], r11   # syscall leaves rflags in r11
    mov [rbx + {registers} + 136], r11
    rdfsbase rax
    mov [rbx + {fs}], rax
    mov dword ptr [rbx + {signo}], {event_fast_call}
    cmp dword ptr [rbx + {spin}], 0     # a sentry that polls knows when the call is made
    jne 1f
    rdtsc
    shl rdx, 32
    or rax, rdx
    mov [rbx + {tsc}], rax
1:  lea r12, [rbx + {registers}]
    jmp copy_arguments

fast_resume:
    test al, {flag_result}
    jz fast_return
    mov rdx, [rbx + {result}]
    mov [rbx + {registers} + 104], rdx
# From the look at the kick word to the jump, a kick is taken by `convert`.
fast_return:
    cmp dword ptr [rbx + {kick}], 0
    jne fast_kicked
    test al, {flag_set_fs}
    jz 1f
    mov rax, [rbx + {new_fs}]
    wrfsbase rax
    jmp 1f
local_return:
    cmp dword ptr [rbx + {kick}], 0
    jne local_kicked
1:  lea rsp, [rbx + {small_stack}]
    push qword ptr [rbx + {registers} + 136]
    popfq
    mov r8, [rbx + {registers} + 0]
    mov r9, [rbx + {registers} + 8]
    mov r10, [rbx + {registers} + 16]
    mov r11, [rbx + {registers} + 24]
    mov r12, [rbx + {registers} + 32]
    mov r13, [rbx + {registers} + 40]
    mov r14, [rbx + {registers} + 48]
    mov r15, [rbx + {registers} + 56]
    mov rdi, [rbx + {registers} + 64]
    mov rsi, [rbx + {registers} + 72]
    mov rbp, [rbx + {registers} + 80]
    mov rdx, [rbx + {registers} + 96]
    mov rax, [rbx + {registers} + 104]
    mov rsp, [rbx + {registers} + 120]
    mov rcx, [rbx + {registers} + 128]
    mov rbx, [rbx + {registers} + 88]
    jmp rcx
fast_resume_end:

fast_kicked:
    mov dword ptr [rbx + {kick}], 0
    mov dword ptr [rbx + {signo}], {event_fast_kick}
    jmp post

    # The sentry does not know these registers yet.
local_kicked:
    mov dword ptr [rbx + {kick}], 0
    mov dword ptr [rbx + {signo}], {event_answered}
    mov dword ptr [rbx + {record_count}], 0
    jmp post

    # A trap of the shim's own. Not by an invalid opcode: many a hypervisor looks at those first.
upgrade:
    mov eax, 0x3ff                      # no call
    syscall
upgraded:
    ud2

# ---- what the call's row in the table says: r12 = registers as a sigcontext -------------------------------------------------
copy_arguments:
    xor r14d, r14d                      # records made; bits 16 to 19: items found writable, 20 to 23: empty strings
    mov rax, [r12 + 104]
    cmp rax, {copy_table_rows}
    jae arguments_done
    shl eax, 4
    lea r13, [rip + systrap_shim_start + {copy_table_distance}]
    add r13, rax                        # the item
    lea r15, [rbx + {in_area}]          # where the next copy goes
    mov ebp, 4                          # items left
argument:
    mov r11d, [r13]
    test r11d, {copy_in} + {copy_out}
    jz arguments_done
    mov ecx, r11d
    and ecx, 15
    mov rsi, [r12 + rcx * 8]            # the pointer
    test rsi, rsi
    jz next_argument
    mov r10d, r11d
    shr r10d, 16                        # the length, or what to multiply with
    test r11d, {copy_times}
    jz 2f
    mov ecx, r11d
    shr ecx, 8
    and ecx, 15
    mov rax, [r12 + rcx * 8]
    mov ecx, 65536
    cmp rax, rcx
    cmova rax, rcx
    test r11d, {copy_bits}
    jz 1f
    add eax, 63
    shr eax, 6
1:  imul r10, rax
2:  test r10, r10
    jz next_argument
    test r11d, {copy_in_page}
    jz 3f
    mov ecx, 4096
    mov eax, esi
    and eax, 4095
    sub ecx, eax
    cmp r10, rcx
    cmova r10, rcx
3:  test r11d, {copy_in}
    jz 4f
    lea r9, [rbx + {small_in}]          # in the line of its record, if it is the first and has room there
    cmp r10, {small_in_len}
    ja 7f
    test r14b, r14b
    jz 8f
7:  mov r9, r15
    lea rax, [r15 + r10]
    lea rcx, [rbx + {out_area}]
    cmp rax, rcx
    ja 4f
8:  mov r8, rsi
    mov rdi, r9
    mov rcx, r10
argument_copy:
    rep movsb
argument_copied:
    mov rsi, r8
    mov rax, r10
    sub rax, rcx
    jz 4f
    test r11d, {copy_in_page}
    jz 6f
    cmp byte ptr [r9], 0
    jne 6f
    mov ecx, 24                         # an empty string: one bit says so
    sub ecx, ebp
    bts r14d, ecx
    jmp next_argument
6:  mov rcx, r9
    sub rcx, rbx
    call record
    cmp r9, r15
    jne 4f
    lea r15, [r15 + rax + 15]
    and r15, -16
4:  test r11d, {copy_out}
    jz next_argument
    mov ecx, {copy_out_max}
    cmp r10, rcx
    cmova r10, rcx
    mov r9, rsi
    add r9, r10
    jc next_argument
    mov rdi, rsi
argument_probe:
    lock add byte ptr [rdi], 0          # what a write would do, fault included
    or rdi, 4095
    inc rdi
    cmp rdi, r9
    jb argument_probe
argument_probed:
    mov rax, rdi
    cmp rax, r9
    cmova rax, r9
    sub rax, rsi
    jz next_argument
    cmp rax, r10
    jne 5f
    mov ecx, 20                         # all of it: one bit says so
    sub ecx, ebp
    bts r14d, ecx
    jmp next_argument
5:  xor ecx, ecx
    call record
next_argument:
    add r13, 4
    dec ebp
    jnz argument
arguments_done:
    mov [rbx + {record_count}], r14d

# ---- calls that the shim answers with what it copied, while the sentry has lent it what they change: see lent.rs -------------
    mov rax, [r12 + 104]
    cmp rax, {copy_table_rows}
    jae post
    mov ecx, eax
    shl ecx, 4
    lea r13, [rip + systrap_shim_start + {copy_table_distance}]
    mov r11d, [r13 + rcx]
    test r11d, {copy_answer} + {copy_local}
    jz post
    test dword ptr [r12 + 136], 0x100   # TF: the sentry knows what single steps see
    jnz post
    lea rcx, [rbx + {registers}]
    cmp r12, rcx
    je 1f
    mov rdx, [rbx + {frame}]
    cmp dword ptr [rdx + {siginfo} + 8], 1  # SYS_SECCOMP
    jne post
    mov ecx, {audit_arch}
    cmp [rdx + {siginfo} + 28], ecx
    jne post
    mov ecx, [rbx + {unseen}]           # the sentry sees some of the traps, and patches the site
    inc ecx
    mov [rbx + {unseen}], ecx
    test cl, 3
    jz post
1:  mov r10, [r12 + 16]                 # r10, rdi, rsi and rdx are the guest's from here
    mov rdi, [r12 + 64]
    mov rsi, [r12 + 72]
    mov rdx, [r12 + 96]
    cmp eax, 14
    je local_mask
    cmp eax, 13
    je local_action
    cmp eax, 273
    je local_robust_list
    cmp eax, 24                         # sched_yield
    je post
    shr r11d, 16
    mov rax, [rbx + r11]
    btr rax, 63
    jnc post
local_done:
    mov [r12 + 104], rax
    lea rcx, [rbx + {registers}]
    cmp r12, rcx
    je local_return
    mov rsp, [rbx + {frame}]
    jmp systrap_shim_restorer

local_robust_list:                      # (head, len)
    cmp rsi, 24
    jne post
    mov rax, [rbx + {lent_robust_list}]
    bts rdi, 63
    jc post
    bt rax, 63
    jnc post
    lock cmpxchg [rbx + {lent_robust_list}], rdi
    jne post
    xor eax, eax
    jmp local_done

local_mask:                             # rt_sigprocmask(how, set, oldset, size)
    cmp r10, 8
    jne post
    mov rax, [rbx + {lent_mask}]
    bt eax, 8
    jnc post
    mov rcx, rax
    test rsi, rsi
    jz 3f
    call copied
    cmp r8d, 8
    jne post
    mov rcx, [rbx + {small_in}]
    cmp edi, 1
    ja 1f
    je 2f
    or rcx, rax                         # SIG_BLOCK
    jmp 3f
1:  cmp edi, 2                          # SIG_SETMASK
    jne post
    jmp 3f
2:  not rcx                             # SIG_UNBLOCK
    and rcx, rax
3:  btr rcx, 18                         # SIGSTOP
    bts rcx, 8                          # SIGKILL's bit says that the mask is here
    mov rdi, rdx
    test rdi, rdi
    jz 4f
    bt r14d, 17
    jnc post
4:  lock cmpxchg [rbx + {lent_mask}], rcx
    jne post
    btr rax, 8
    mov [rbx + {local_out}], rax
    mov ecx, 8
local_out:
    test rdi, rdi
    jz local_zero
    lea rsi, [rbx + {local_out}]
local_copy:
    rep movsb
local_copied:
    mov rax, -14                        # EFAULT
    test ecx, ecx
    jnz local_done
local_zero:
    xor eax, eax
    jmp local_done

local_action:                           # rt_sigaction(signal, new, old, size)
    cmp r10, 8
    jne post
    dec edi
    cmp edi, 64
    jae post
    mov r9, [rbx + {lent_defaults}]
    bt r9d, 8
    jnc post
    mov r13, [rbx + {lent_plain}]
    mov r15, [rbx + {lent_restorer}]
    xor eax, eax
    mov [rbx + {local_out}], rax
    mov [rbx + {local_out} + 24], rax
    xor ecx, ecx
    bt r9, rdi
    jc 1f
    bt r13, rdi
    jnc post
    mov eax, 0x04000000                 # SA_RESTORER
    mov rcx, r15
1:  mov [rbx + {local_out} + 8], rax
    mov [rbx + {local_out} + 16], rcx
    test rdx, rdx
    jz 2f
    bt r14d, 17
    jnc post
2:  test rsi, rsi
    jz 4f
    mov ecx, {lasting_actions}
    bt rcx, rdi
    jc post
    call copied
    cmp r8d, 32
    jne post
    mov rax, [rbx + {small_in}]
    or rax, [rbx + {small_in} + 24]
    jnz post
    cmp qword ptr [rbx + {small_in} + 8], 0x04000000
    jne post
    mov rax, [rbx + {small_in} + 16]
    test r13, r13
    jz 3f
    cmp rax, r15
    jne post
3:  mov rcx, rax
    mov rax, r9
    btr r9, rdi
    bts r13, rdi
    lock cmpxchg [rbx + {lent_defaults}], r9
    jne post
    mov [rbx + {lent_restorer}], rcx
    mov [rbx + {lent_plain}], r13
4:  mov rdi, rdx
    mov ecx, 32
    jmp local_out

# r8d = how much there is of what is at rsi in the record that is alone, if it is
copied:
    xor r8d, r8d
    cmp r14b, 1
    jne 1f
    cmp rsi, [rbx + {records}]
    jne 1f
    mov r8d, [rbx + {records} + 8]
1:  ret

# rsi = address, rax = length, ecx = offset
record:
    movzx edx, r14b
    shl edx, 4
    lea rdx, [rbx + rdx + {records}]
    mov [rdx], rsi
    mov [rdx + 8], eax
    mov [rdx + 12], ecx
    inc r14d
    ret

    .globl systrap_shim_end
systrap_shim_end:
    .popsection
