declare type i32 = number; declare type u32 = number;
