// Programs, told by their first bytes, whatever they are called.
// None of these has business in a mail; remove this file where programs are sent on purpose.

rule Program_Windows_DOS
{
    meta:
        name = "Program.Windows"
        verdict = "banned"
        description = "MZ header followed by PE, NE, LE or LX, or an MZ header that DOS would load"
    condition:
        filesize > 64 and (uint16(0) == 0x5A4D or uint16(0) == 0x4D5A) and
        (
            (uint32(0x3C) < filesize and
                (uint32(uint32(0x3C)) == 0x00004550 or
                 uint16(uint32(0x3C)) == 0x454E or
                 uint16(uint32(0x3C)) == 0x454C or
                 uint16(uint32(0x3C)) == 0x584C))
            // bytes in the last page, pages, paragraphs of header: text has none of these so small
            or (uint16(2) < 512 and uint16(4) > 0 and uint16(4) < 4096 and
                uint16(8) > 1 and uint16(8) < 4096)
        )
}

rule Program_ELF
{
    meta:
        name = "Program.ELF"
        verdict = "banned"
        description = "ELF program or library (Linux, BSD)"
    condition:
        uint32(0) == 0x464C457F and
        (uint8(4) == 1 or uint8(4) == 2) and (uint8(5) == 1 or uint8(5) == 2)
}

rule Program_MachO
{
    meta:
        name = "Program.MachO"
        verdict = "banned"
        description = "Mach-O program or library, one or several architectures (macOS)"
    condition:
        filesize > 28 and
        (
            uint32(0) == 0xFEEDFACE or uint32(0) == 0xFEEDFACF or
            uint32be(0) == 0xFEEDFACE or uint32be(0) == 0xFEEDFACF or
            // a Java class has its version where a fat binary counts its architectures
            (uint32be(0) == 0xCAFEBABE and uint32be(4) > 0 and uint32be(4) < 40)
        )
}

rule Program_Java_Class
{
    meta:
        name = "Program.Java"
        verdict = "banned"
        description = "compiled Java class"
    condition:
        uint32be(0) == 0xCAFEBABE and uint16be(6) >= 45 and uint16be(6) < 256
}

rule Program_Android_DEX
{
    meta:
        name = "Program.Android"
        verdict = "banned"
        description = "Dalvik executable"
    strings:
        $dex = { 64 65 78 0A 30 3? 3? 00 }
    condition:
        $dex at 0
}

rule Program_Windows_Installer
{
    meta:
        name = "Program.WindowsInstaller"
        verdict = "banned"
        description = "MSI package, patch or transform: a compound file of one of Installer's classes"
    strings:
        $class = { (82 | 84 | 86) 10 0C 00 00 00 00 00 C0 00 00 00 00 00 00 46 }
    condition:
        uint32be(0) == 0xD0CF11E0 and uint32be(4) == 0xA1B11AE1 and $class
}
